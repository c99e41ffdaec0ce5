"""Named bundles of how pages are read: resolution, prompt, preprocessing, what is mended; `ocr.profile` chooses one."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from folio.errors import SettingsError
from folio.listed import listed
from folio.nearest import nearest

ModeName = Literal["auto", "tiny", "small", "base", "large", "gundam"]


class Profile(BaseModel):
    """`rules` name what is mended in a model's answer. The built-in ones have the modes that read such pages best.

    By the model's own publication (edit distance on OmniDocBench, arXiv 2510.18234): reports Large .022, Gundam .289;
    newspapers Gundam .122, Base .645; slides and books are as good in Base, at a third of the tokens.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    mode: ModeName = Field("auto", description="auto: chosen page by page")
    prompt: str = Field("markdown", description="markdown, text, ocr, figure, describe, `locate: TERM`, `free: TEXT`")
    preprocess: str = Field("auto", description="auto, off, or steps: see docs/reading.md")
    rules: Annotated[tuple[Literal["formulas", "lists"], ...], BeforeValidator(listed)] = Field(
        ("formulas", "lists"), description="what is mended"
    )


PROFILES: Mapping[str, Mapping[str, str]] = {
    "general": {},
    "finance": {"mode": "large"},
    "education": {"mode": "gundam"},
    "papers": {"mode": "gundam"},
    "newspapers": {"mode": "gundam"},
    "books": {"mode": "base"},
    "slides": {"mode": "base", "preprocess": "off"},
}
"""What differs from a profile's defaults; made one when it is chosen, not at every start."""


def check(name: str, own: Mapping[str, Profile]) -> None:
    """Raises SettingsError with the nearest name."""
    known = {*PROFILES, *own}
    if name not in known:
        raise SettingsError(
            f"ocr.profile: there is no profile {name!r}: did you mean {nearest(name, known)}? "
            f"({', '.join(sorted(known))}; a table [profiles.{name or 'NAME'}] makes one)"
        )


def chosen(
    name: str, own: Mapping[str, Profile], *, mode: ModeName | None = None, prompt: str = "", preprocess: str = ""
) -> Profile:
    """The profile of that name, one's own before a built-in one, with what was set beside it. Raises SettingsError."""
    check(name, own)
    set_beside = {"mode": mode, "prompt": prompt, "preprocess": preprocess}
    beside = {key: value for key, value in set_beside.items() if value}
    profile = own[name] if name in own else Profile.model_validate(PROFILES[name])
    return profile.model_copy(update=beside)
