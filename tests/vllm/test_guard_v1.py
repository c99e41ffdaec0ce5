"""The guard behind vLLM's own interface, with its own batch updates: against vLLM's reference, request by request."""

import inspect
import random
from types import SimpleNamespace

import pytest
import torch
from vllm import SamplingParams
from vllm.model_executor.models.deepseek_ocr import NoRepeatNGramLogitsProcessor
from vllm.v1.sample.logits_processor import BatchUpdate, MoveDirectionality

from ocr_stage.deepseek import guard_v1
from tests.unit.test_deepseek_guard_v2 import INTERFACE, V2

VOCABULARY, ROWS = 8, 5


@pytest.fixture
def guard(monkeypatch):
    vocabulary = SimpleNamespace(get_vocab=lambda: {"<td>": 2, "</td>": 3})
    monkeypatch.setattr(guard_v1, "cached_tokenizer_from_config", lambda _: vocabulary)
    config = SimpleNamespace(
        model_config=SimpleNamespace(max_model_len=256), scheduler_config=SimpleNamespace(max_num_seqs=ROWS)
    )
    return guard_v1.NgramGuard(config, torch.device("cpu"), False)


class Running:
    """The rows of a batch as vLLM fills them: new ones at the end, holes filled from the end, now and then a swap."""

    def __init__(self, chance: random.Random) -> None:
        self.rows: list[tuple[SamplingParams, list[int]]] = []
        self._chance = chance

    def step(self) -> BatchUpdate | None:
        """Who goes, comes and moves before the next step."""
        gone = sorted((row for row in range(len(self.rows)) if self._chance.random() < 0.06), reverse=True)
        added, moved = [], []
        holes = sorted(gone)
        while len(self.rows) - len(holes) + len(added) < ROWS and self._chance.random() < 0.4:
            request = (self._params(), [self._chance.randrange(4) for _ in range(self._chance.choice([0, 0, 0, 7]))])
            row = holes.pop(0) if holes else len(self.rows)
            self.rows[row : row + 1] = [request]
            added.append((row, request[0], [1], request[1]))
        for hole in holes:
            while len(self.rows) - 1 in holes and len(self.rows) - 1 > hole:
                self.rows.pop()
            last = len(self.rows) - 1
            if last > hole:
                self.rows[hole] = self.rows.pop()
                moved.append((last, hole, MoveDirectionality.UNIDIRECTIONAL))
            elif last == hole:
                self.rows.pop()
        if len(self.rows) > 1 and self._chance.random() < 0.2:
            one, other = self._chance.sample(range(len(self.rows)), 2)
            self.rows[one], self.rows[other] = self.rows[other], self.rows[one]
            moved.append((one, other, MoveDirectionality.SWAP))
        if not (gone or added or moved):
            return None
        return BatchUpdate(batch_size=len(self.rows), removed=gone, added=added, moved=moved)

    def _params(self) -> SamplingParams:
        ngram, window = self._chance.choice([(2, 9), (4, 16), (3, 3), (0, 90)])
        return SamplingParams(
            extra_args={
                "ngram_size": ngram,
                "window_size": window,
                "whitelist_token_ids": self._chance.choice([[], [1, 2]]),
            }
        )


def reference(params: SamplingParams, answer: list[int]) -> torch.Tensor:
    asked = params.extra_args
    logits = torch.zeros(VOCABULARY)
    if not asked["ngram_size"]:
        return logits
    return NoRepeatNGramLogitsProcessor(asked["ngram_size"], asked["window_size"], set(asked["whitelist_token_ids"]))(
        answer, logits
    )


@pytest.mark.parametrize("seed", range(20))
def test_it_bans_what_the_reference_bans_while_requests_come_go_and_move(guard, seed) -> None:
    chance = random.Random(seed)
    running = Running(chance)
    compared = 0
    for _ in range(200):
        guard.update_state(running.step())
        if not running.rows:
            continue
        logits = guard.apply(torch.zeros(len(running.rows), VOCABULARY))
        expected = torch.stack([reference(*row) for row in running.rows])
        assert torch.equal(logits, expected)
        compared += int(torch.isneginf(expected).sum())
        for _, answer in running.rows:
            if chance.random() < 0.9:  # a request whose prompt is still being read gets no token
                answer.append(chance.randrange(4))
        running.rows = [(params, answer) for params, answer in running.rows]
    assert compared > 100


def test_what_nobody_asked_for_is_the_usual_guard(guard) -> None:
    answer = [5] * 30
    guard.update_state(BatchUpdate(batch_size=1, removed=[], added=[(0, SamplingParams(), [1], answer)], moved=[]))
    assert torch.isneginf(guard.apply(torch.zeros(1, VOCABULARY)))[0].nonzero().flatten().tolist() == [5]


def test_the_recorded_interface_of_the_second_runner_is_what_this_vllm_publishes() -> None:
    interface = pytest.importorskip(f"{V2}.interface", reason="this vLLM has no second runner for processors of others")
    for name, parameters in INTERFACE.items():
        assert list(inspect.signature(getattr(interface.LogitsProcessor, name)).parameters) == parameters, name
