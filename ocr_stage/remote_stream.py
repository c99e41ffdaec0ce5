"""An answer as it comes, piece by piece, for servers that have no guard of their own: one that loops is hung up on."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from folio.errors import Cause, Permanent
from ocr_stage.grammar import TEXT_CHARS_MAX
from ocr_stage.model import Finish
from ocr_stage.repetition import Repetition

ANSWER_CHARS_MAX = TEXT_CHARS_MAX
"""No page holds so much; what says more is cut off there, and counts as one that came to its limit."""


class Answer(NamedTuple):
    """What a server said about one page. `prompt_tokens`: how long page and prompt were by its count; 0 unsaid."""

    text: str
    finish: str
    tokens: int
    prompt_tokens: int = 0


def only_choice(choices: Any) -> Any:
    """Of the answer to one question, None where it has none at all. Raises Permanent(ocr_mismatch) for others'."""
    if isinstance(choices, list) and len(choices) > 1:
        raise Permanent(Cause.OCR_MISMATCH, f"{len(choices)} answers to one page")
    return choices[0] if isinstance(choices, list) and choices else None


class Listening:
    """Called with each event of a chat completion; says True when there is no use in listening on."""

    def __init__(self) -> None:
        self.finish = ""
        self.tokens = 0
        """Pieces that came: most servers send a token each."""
        self._pieces: list[str] = []
        self._room = ANSWER_CHARS_MAX
        self._repetition = Repetition()

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    def __call__(self, event: Any) -> bool:
        found = only_choice(event.get("choices") if isinstance(event, Mapping) else None)
        choice = found if isinstance(found, Mapping) else {}
        delta = choice.get("delta")
        piece = delta.get("content") if isinstance(delta, Mapping) else None
        self.finish = str(choice.get("finish_reason") or self.finish)
        if not isinstance(piece, str) or not piece:
            return False
        kept = piece[: self._room]
        self._pieces.append(kept)
        self._room -= len(kept)
        self.tokens += 1
        if self._repetition.add(kept):
            self.finish = Finish.REPETITION
        elif len(kept) < len(piece):
            self.finish = Finish.LENGTH
        return self.finish == Finish.REPETITION or len(kept) < len(piece)

    def said(self) -> Answer:
        """Raises ValueError when it ended without saying why."""
        if not self.finish:
            raise ValueError("an answer that broke off")
        return Answer(self.text, self.finish, self.tokens)
