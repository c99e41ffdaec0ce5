"""What may be done to a page's picture before an engine sees it, as settings and profiles name it."""

from dataclasses import dataclass
from enum import StrEnum

from folio.errors import SettingsError
from folio.nearest import nearest

OFF, AUTO = "off", "auto"


class Step(StrEnum):
    """In the order in which they are done."""

    PERSPECTIVE = "perspective"
    DESKEW = "deskew"
    DENOISE = "denoise"
    STRETCH = "stretch"
    CLAHE = "clahe"
    SHARPEN = "sharpen"
    BINARISE = "binarise"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for: `steps` always, and with `auto` whatever the picture needs. Without either nothing is done.

    `levelled`: the engine sets crooked pages straight by itself, `auto` leaves that to it.
    """

    auto: bool = False
    steps: frozenset[Step] = frozenset()
    levelled: bool = False

    @classmethod
    def of(cls, asked: str, *, levelled: bool = False) -> "Plan":
        """From a setting: ``off``, ``auto``, or names of steps with commas. Raises SettingsError."""
        if asked.strip().lower() in {OFF, AUTO}:
            return cls(auto=asked.strip().lower() == AUTO, levelled=levelled)
        names = [name.strip().lower() for name in asked.split(",") if name.strip()]
        return cls(steps=frozenset(map(_step, names)), levelled=levelled)


def _step(name: str) -> Step:
    try:
        return Step(name)
    except ValueError:
        known = [OFF, AUTO, *Step]
        raise SettingsError(
            f"there is no preprocessing {name!r}: did you mean {nearest(name, known)}? ({', '.join(known)})"
        ) from None
