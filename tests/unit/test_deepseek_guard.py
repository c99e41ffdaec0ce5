"""The n-gram guard on tensors against the rule written plainly, one request at a time."""

from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ocr_stage.deepseek import guard
from ocr_stage.deepseek.guard import OFF, DeviceGuard, ban_repeats, packed

VOCABULARY = 12


def banned_by_the_rule(answer: Sequence[int], ngram: int, window: int, allowed: Sequence[int]) -> set[int]:
    """The last n - 1 tokens stood among the last W before: what followed them then is banned."""
    if len(answer) < ngram:
        return set()
    last = list(answer[len(answer) - ngram + 1 :])
    seen = answer[-window:]
    starts = range(len(seen) - ngram + 1)
    return {seen[at + ngram - 1] for at in starts if list(seen[at : at + ngram - 1]) == last} - set(allowed)


requests = st.lists(
    st.tuples(
        st.lists(st.integers(0, 3), max_size=60),  # few tokens, so that they repeat
        st.one_of(st.none(), st.tuples(st.integers(2, 8), st.integers(8, 30))),
    ),
    min_size=1,
    max_size=6,
)


def banned_by_tensors(logits: torch.Tensor) -> list[set[int]]:
    return [set(torch.isneginf(row).nonzero().flatten().tolist()) for row in logits]


@given(requests, st.sets(st.integers(0, 3), max_size=2))
@settings(max_examples=400, deadline=None)
def test_all_requests_at_once_are_as_one_after_the_other(
    batch: list[tuple[list[int], tuple[int, int] | None]], allowed: set[int]
) -> None:
    width = 30
    recent = torch.tensor([([-1] * width + answer)[-width:] for answer, _ in batch])
    counts = torch.tensor([len(answer) for answer, _ in batch])
    asked = torch.tensor([packed(*setting) if setting else OFF for _, setting in batch])
    let_off = torch.tensor([sorted(allowed) or [-1]])
    before = torch.randn(len(batch), VOCABULARY)
    after = ban_repeats(before.clone(), recent, counts, asked, let_off, ngram_max=8)
    expected = [
        banned_by_the_rule(answer, *setting, sorted(allowed)) if setting else set() for answer, setting in batch
    ]
    assert banned_by_tensors(after) == expected
    kept = ~torch.isneginf(after)
    assert torch.equal(after[kept], before[kept])
    rows, banned = guard.repeats(
        *(part.numpy() for part in (recent, counts, asked)), let_off.repeat(len(batch), 1).numpy(), ngram_max=8
    )
    assert {(row, token) for row, some in enumerate(expected) for token in some} == set(zip(rows, banned, strict=True))


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=50), min_size=1, max_size=5), st.randoms())
@settings(max_examples=60, deadline=None)
def test_the_history_on_the_device_bans_token_by_token_what_the_rule_bans(answers: list[list[int]], chance) -> None:
    """Requests come and go, batches are in any order, rows of the history are used again."""
    device = DeviceGuard(len(answers), 64, "cpu", ngram=3, window=10, allowed=[2])
    device.push(torch.full((len(answers),), 1), torch.arange(len(answers)), torch.full((len(answers),), 40))
    for step in range(max(map(len, answers))):
        live = [index for index, answer in enumerate(answers) if len(answer) > step]
        chance.shuffle(live)
        slots, counts = torch.tensor(live), torch.full((len(live),), step)
        logits = torch.zeros(len(live), VOCABULARY)
        device.ban(logits, slots, counts, torch.ones(len(live), dtype=torch.int32))
        assert banned_by_tensors(logits) == [banned_by_the_rule(answers[index][:step], 3, 10, [2]) for index in live]
        device.push(torch.tensor([[answers[index][step]] for index in live]), slots, counts)


def test_a_request_may_say_less_than_the_guard_and_off() -> None:
    device = DeviceGuard(3, 64, "cpu", ngram=5, window=20)
    slots = torch.arange(3)
    for step in range(6):
        device.push(torch.full((3,), 7), slots, torch.full((3,), step))
    logits = torch.zeros(3, VOCABULARY)
    device.ban(logits, slots, torch.full((3,), 3), torch.tensor([guard.ASKED, packed(2, 20), OFF]))
    assert banned_by_tensors(logits) == [set(), {7}, set()]


def test_a_request_may_ask_for_more_than_the_guards_own_setting() -> None:
    """The ladder's wider guard, beside pages with the usual one."""
    device = DeviceGuard(2, 64, "cpu", ngram=3, window=4)
    slots, wide = torch.arange(2), packed(5, 40)
    answer = [1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4]
    for step, token in enumerate(answer):
        device.push(torch.full((2,), token), slots, torch.full((2,), step))
    logits = torch.zeros(2, VOCABULARY)
    on = torch.tensor([guard.ASKED, wide])
    device.ban(logits, slots, torch.full((2,), len(answer)), on, farthest=guard.reach(on.numpy()[1:]))
    assert banned_by_tensors(logits) == [set(), {5}]


def test_what_a_request_may_ask_for() -> None:
    assert guard.setting_of(None) == guard.setting_of({}) == packed(30, 90)
    assert guard.setting_of({"ngram_size": 20, "window_size": 50}) == packed(20, 50)
    assert guard.setting_of({"ngram_size": 0}) == OFF
    for wrong in ({"ngram_size": 1}, {"ngram_size": 100}, {"ngram_size": "30"}, {"window_size": 99_999}):
        with pytest.raises(ValueError):
            guard.setting_of(wrong)


def test_a_whitelist_in_one_text_is_refused_instead_of_letting_off_nothing() -> None:
    assert guard.let_off_of({"whitelist_token_ids": [5, 6]}) == (5, 6)
    assert guard.let_off_of({}) is None
    for wrong in ("[5, 6]", [5, "6"], 5):
        with pytest.raises(ValueError):
            guard.let_off_of({"whitelist_token_ids": wrong})
