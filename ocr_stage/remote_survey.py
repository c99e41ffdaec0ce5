"""What a server can do, found out by asking it before the first page: its model, folio's modes, a guard that is on.

No question can hurt a server without folio's plugin: it is never sent a processor argument that stock vLLM knows.
"""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from folio.errors import Cause, Transient
from ocr_stage.deepseek.asking import ALLOWED, PUSH, extra_args, was_cut
from ocr_stage.model import Finish, Guard
from ocr_stage.modes import Mode, tokens
from ocr_stage.remote_http import Refused, Server
from ocr_stage.remote_stream import ANSWER_CHARS_MAX, Answer, only_choice

COMPLETIONS = "chat/completions"
SURVEY_S = 120.0
"""A server that was just started reads its first picture slowly."""
SIDE = 64
"""Pixels of the picture that is shown; Tiny and Gundam differ by the same number of tokens for any small one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """`modes`: folio's plugin is there; without it every page is read in Gundam. `guard`: loops are cut there.

    `vllm` says that the server takes what only vLLM takes; `allowed` are ids of the tokens that its guard lets off;
    `words` what a short prompt takes beside its picture, and a page takes beside it at least: 0 without our modes.
    """

    model: str
    vllm: bool = False
    words: int = 0
    guard: bool = False
    allowed: tuple[int, ...] = ()

    @property
    def modes(self) -> bool:
        return self.words > 0

    @property
    def warnings(self) -> list[str]:
        """For people, at the start."""
        said = []
        if not self.modes:
            said.append("every page is read in Gundam, whatever was asked: the server runs without folio's plugin")
        if not self.guard:
            said.append("no n-gram guard is on there: pages may loop, and are hung up on when they are seen to")
        return said


async def survey(server: Server, wanted: str, *, deepseek: bool) -> Abilities:
    """Raises Transient when the server is away, or does not have the model that is `wanted` ('': its only one)."""
    listed = await server.get("models", seconds_max=SURVEY_S)
    model, vllm = _model(server, listed, wanted)
    if not deepseek or not vllm:
        return Abilities(model=model)
    allowed = [one for token in ALLOWED for one in await _ids(server, model, token)]
    return Abilities(
        model=model,
        vllm=True,
        words=await _words(server, model),
        guard=await _has_guard(server, model, allowed),
        allowed=tuple(allowed),
    )


def chat(model: str, image: str, text: str) -> dict[str, Any]:
    """The part that all servers understand; `image` is a data URL."""
    content = [{"type": "image_url", "image_url": {"url": image}}, {"type": "text", "text": text}]
    return {"model": model, "messages": [{"role": "user", "content": content}]}


def picture_url(image: bytes, kind: str = "png") -> str:
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"


def _model(server: Server, listed: Any, wanted: str) -> tuple[str, bool]:
    """(its id, whether vLLM serves it)"""
    cards = [card for card in _field(listed, "data", list) if isinstance(card, Mapping)]
    models = {str(card.get("id")): str(card.get("owned_by")) == "vllm" for card in cards}
    if wanted in models:
        return wanted, models[wanted]
    if not wanted and len(models) == 1:
        return next(iter(models.items()))
    there = ", ".join(sorted(models)[:10]) or "none"
    raise Transient(Cause.ENGINE_DOWN, f"{server.url} serves {there}: name one of them in remote.model")


def _field(answer: Any, name: str, kind: type) -> Any:
    """What a server says is data; a field that is not what it should be is as good as none."""
    value = answer.get(name) if isinstance(answer, Mapping) else None
    return value if isinstance(value, kind) else kind()


async def _ids(server: Server, model: str, text: str) -> Sequence[int]:
    """Of one special token; none where the server does not know it as one."""
    body = {"model": model, "prompt": text, "add_special_tokens": False}
    try:
        found = _field(await server.post("/tokenize", body, seconds_max=SURVEY_S), "tokens", list)
    except Refused:
        return ()
    return found if len(found) == 1 and isinstance(found[0], int) else ()


async def _words(server: Server, model: str) -> int:
    """See `Abilities`: only the plugin tells Tiny from Gundam."""
    plain = await _prompt_tokens(server, model, {})
    try:
        tiny = await _prompt_tokens(server, model, {"mm_processor_kwargs": {"mode": Mode.TINY.value}})
    except Refused:
        return 0
    of_picture = tokens(Mode.GUNDAM, SIDE, SIDE)
    return plain - of_picture if plain - tiny == of_picture - tokens(Mode.TINY, SIDE, SIDE) else 0


async def _prompt_tokens(server: Server, model: str, more: Mapping[str, Any]) -> int:
    body = {**chat(model, _picture(), "Free OCR."), "max_tokens": 1, **more}
    answer = await server.post(COMPLETIONS, body, seconds_max=SURVEY_S)
    return int(_field(_field(answer, "usage", dict), "prompt_tokens", int))


async def _has_guard(server: Server, model: str, allowed: Sequence[int]) -> bool:
    """Whether an answer that repeats one token is cut where the guard cuts it."""
    guard, letter = Guard(), "a"
    ids = await _ids(server, model, letter)
    if not ids:
        return False
    asked = {
        "max_tokens": 2 * guard.ngram + 2,
        "temperature": 0.0,
        "ignore_eos": True,
        "logit_bias": {str(ids[0]): PUSH},
        "return_token_ids": True,  # in a text, other tokens made of the same letter would look like more of it
        "vllm_xargs": extra_args(guard, allowed),
    }
    body = {**chat(model, _picture(), "Free OCR."), **asked}
    answer = await server.post(COMPLETIONS, body, seconds_max=SURVEY_S)
    return was_cut(_field(_choice(answer), "token_ids", list), ids[0], guard)


def said_of(answer: Any) -> Answer:
    """Raises ValueError for one that is not a chat completion, Permanent(ocr_mismatch) for one about several pages."""
    choice = _choice(answer)
    text = _field(_field(choice, "message", dict), "content", str)
    finish = _field(choice, "finish_reason", str)
    if not finish:
        raise ValueError("an answer that is no chat completion")
    if len(text) > ANSWER_CHARS_MAX:
        text, finish = text[:ANSWER_CHARS_MAX], Finish.LENGTH
    usage = _field(answer, "usage", dict)
    return Answer(text, finish, _field(usage, "completion_tokens", int), _field(usage, "prompt_tokens", int))


def _choice(answer: Any) -> Any:
    return only_choice(_field(answer, "choices", list))


def _picture() -> str:
    from PIL import Image

    kept = io.BytesIO()
    Image.new("RGB", (SIDE, SIDE), "white").save(kept, "PNG")
    return picture_url(kept.getvalue())
