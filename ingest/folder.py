"""Which files of a folder are read: those of a type that folio knows, none hidden, none half written."""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePath

from folio.errors import FolioError

SUFFIXES = frozenset(
    {
        *(".pdf", ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".dib", ".gif"),
        *(".jp2", ".j2k", ".j2c", ".jpx", ".jpf", ".heic", ".heif", ".hif", ".avif"),
        *(".md", ".markdown", ".html", ".htm", ".xhtml", ".txt", ".text", ".rst", ".log", ".csv", ".tsv"),
    }
)
"""What is taken from a folder when nothing is said: by name here; every file is looked into when it is read."""

_UNFINISHED = (".part", ".partial", ".crdownload", ".download", ".opdownload", ".filepart", ".tmp", ".temp", "~")
_UNFINISHED_STARTS = (".", "~$", "~wrl", "#")
Trouble = Callable[[Path, OSError], None]


@dataclass(frozen=True, slots=True)
class Choice:
    """Filters of names. `include` and `exclude` are globs: `*.pdf`, `drafts`, `2025/**`; `exclude` wins.

    A glob with a slash is of the path within the folder, one without is of any one name on it. Case does not count.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def takes(self, path: PurePath) -> bool:
        """Whether a file is taken, by its path within the folder. Hidden and unfinished ones never are."""
        if _is_hidden(path) or is_unfinished(path.name) or self._excludes(path):
            return False
        if self.include:
            return any(matches(path, glob) for glob in self.include)
        return path.suffix.lower() in SUFFIXES

    def enters(self, folder: PurePath) -> bool:
        """Whether a folder is walked into: what is excluded is not even listed."""
        return not _is_hidden(folder) and not self._excludes(folder)

    def _excludes(self, path: PurePath) -> bool:
        return any(matches(path, glob) for glob in self.exclude)


def chosen_files(
    folder: Path,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    *,
    trouble: Trouble | None = None,
) -> Iterator[Path]:
    """The files of a folder and of those in it that are to be read, in order of their paths.

    Links to files are followed, links to folders are not, so that no loop and nothing outside is walked through.
    `trouble` is told of each folder that cannot be listed; without it that is an error.
    """
    choice = Choice(tuple(include), tuple(exclude))
    return walk(folder, choice, trouble=trouble)


def walk(folder: Path, choice: Choice, *, trouble: Trouble | None = None, under: Path | None = None) -> Iterator[Path]:
    """The same from a Choice; `under` is the part of the folder to walk. Dead links and pipes come too."""
    for place, folders, files in os.walk(under or folder, onerror=_told(trouble)):
        inside = Path(place).relative_to(folder)
        folders[:] = sorted(name for name in folders if choice.enters(inside / name))
        for name in sorted(files):
            if choice.takes(inside / name):
                yield Path(place, name)


def is_unfinished(name: str) -> bool:
    """Names that browsers, office programs and copying programs give to what is not finished, and hidden ones."""
    return name.lower().endswith(_UNFINISHED) or name.lower().startswith(_UNFINISHED_STARTS)


def matches(path: PurePath, glob: str) -> bool:
    """Whether a path within the folder is what a glob means; one of a folder means all that is in it."""
    pattern = _pattern(glob.strip("/"))
    if "/" in glob.strip("/"):
        return pattern.fullmatch(path.as_posix()) is not None
    return any(pattern.fullmatch(part) for part in path.parts)


@lru_cache(maxsize=256)
def _pattern(glob: str) -> re.Pattern[str]:
    """`**/` is any folders, `*` anything within one name, `?` one letter of it."""
    meaning = {"**/": "(?:.*/)?", "/**": "(?:/.*)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|/\*\*|\*\*|\*|\?)", glob)
    return re.compile("".join(meaning.get(part, re.escape(part)) for part in parts), re.IGNORECASE)


def _is_hidden(path: PurePath) -> bool:
    return any(part.startswith(".") and part != ".." for part in path.parts)


def _told(trouble: Trouble | None) -> Callable[[OSError], None]:
    def tell(error: OSError) -> None:
        path = Path(error.filename or ".")
        if trouble is None:
            raise FolioError(f"{path}: {error.strerror or error}: it cannot be listed")
        trouble(path, error)

    return tell
