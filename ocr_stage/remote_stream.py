"""An answer as it comes, piece by piece, for servers that have no guard of their own: one that loops is hung up on."""

from collections.abc import Mapping
from typing import Any

from ocr_stage.model import Finish
from ocr_stage.repetition import Repetition


class Listening:
    """Called with each event of a chat completion; says True when there is no use in listening on."""

    def __init__(self) -> None:
        self.finish = ""
        self.tokens = 0
        """Pieces that came: most servers send a token each."""
        self._pieces: list[str] = []
        self._repetition = Repetition()

    @property
    def text(self) -> str:
        return "".join(self._pieces)

    def __call__(self, event: Any) -> bool:
        choices = event.get("choices") if isinstance(event, Mapping) else None
        choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], Mapping) else {}
        delta = choice.get("delta")
        piece = delta.get("content") if isinstance(delta, Mapping) else None
        self.finish = str(choice.get("finish_reason") or self.finish)
        if not isinstance(piece, str) or not piece:
            return False
        self._pieces.append(piece)
        self.tokens += 1
        if self._repetition.add(piece):
            self.finish = Finish.REPETITION
        return self.finish == Finish.REPETITION

    def said(self) -> tuple[str, str, int]:
        """(text, why it ended, tokens). Raises ValueError when it ended without saying why."""
        if not self.finish:
            raise ValueError("an answer that broke off")
        return self.text, self.finish, self.tokens
