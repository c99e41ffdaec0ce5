"""`folio add`: which files, handing them over, and waiting until they are searchable."""

import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import typer

from console import summary
from console.client import AS_IT_IS, Changing, Client, Reading, Refused
from console.following import BAD, NOTHING, Following, Result, fill_in_flaws
from console.progress import Progress
from console.session import Session
from console.shown import shown, tell
from folio.settings import Settings
from infra.places import LEDGER_FILE
from ingest.folder import Choice, chosen_files, walk

NAMED_MAX = 3
CHANGING = "changing"
"""Why a file was not handed over: it was being written to."""
LISTED_MAX = 20
"""Of more documents than these only those are listed that are not simply searchable."""


@dataclass(frozen=True, slots=True)
class File:
    """A file to hand over, and what to call it; or one that cannot be read, and why."""

    path: Path
    name: str
    document: str | None
    uri: str
    problem: str = ""


@contextmanager
def collect(
    paths: Sequence[str],
    *,
    name: str | None = None,
    document: str | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
) -> Iterator[list[File]]:
    """All files that the arguments name; stdin becomes a temporary file. Raises BadParameter (exit 2)."""
    with ExitStack() as scratch:
        files: list[File] = []
        for given in paths:
            if given == "-":
                folder = scratch.enter_context(tempfile.TemporaryDirectory(prefix="folio-"))
                files.append(_from_stdin(Path(folder), name, document))
            else:
                files += _named(given, document, include, exclude, alone=len(paths) == 1)
        if document is not None and len(files) > 1:
            raise typer.BadParameter(f"--id names one document, but {len(files)} files were given")
        yield files


@dataclass(slots=True)
class Adding:
    """Files on their way. `results` holds what is known of each, also when it is broken off."""

    session: Session
    settings: Settings
    reading: Reading = AS_IT_IS
    files: list[File] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    in_hand: str = ""
    """The name of the file that is being handed over: broken off here, nobody knows whether it was taken."""
    began_s: float = field(default_factory=time.monotonic)

    def run(self, files: Sequence[File], *, wait: bool, talk: bool) -> list[Result]:
        """Hand over all files, then wait until each is settled. One bad file does not hold up the others."""
        self.files += files
        with Progress(talk=talk) as progress:
            following = Following(self.session, self.settings, progress)
            for number, file in enumerate(files, start=1):
                progress.to_come = len(files) - number
                self._hand_over(file, following if wait else None)
                following.look()
            unchanged = [one for one in self.results if one["state"] == "unchanged"]
            fill_in_flaws(self.settings.data / LEDGER_FILE, unchanged)
            following.wait()
        return self.results

    def again(self, *, password: str) -> None:
        """The encrypted ones once more, with a password; they come last then."""
        pairs = list(zip(self.files, self.results, strict=True))
        locked = [file for file, one in pairs if one["cause"] == "encrypted"]
        kept = [(file, one) for file, one in pairs if one["cause"] != "encrypted"]
        self.files, self.results = [file for file, _ in kept], [one for _, one in kept]
        self.reading = Reading(pages=self.reading.pages, metadata=self.reading.metadata, password=password)
        self.run(locked, wait=True, talk=True)

    def summary(self) -> dict[str, object]:
        return summary.summed(self.results, time.monotonic() - self.began_s)

    def _hand_over(self, file: File, following: Following | None) -> None:
        self.in_hand = file.name
        result = put(self.session, file, self.reading)
        self.results.append(result)
        self.in_hand = ""
        if following is not None and result["state"] == "queued":
            following.add(result)


def sentences(results: Sequence[Result]) -> Iterator[str]:
    """One line a document, for people; of very many only those that are not simply searchable."""
    for result in results:
        if len(results) <= LISTED_MAX or result["state"] not in ("searchable", "unchanged"):
            yield line(result)


def line(result: Result) -> str:
    document, state = shown(result["document"]), result["state"]
    if result.get("outcome") == "unchanged":
        flaws = f"{_by_words(result)}{_gaps(result['gaps'])}"
        return f"{document}: already there, nothing to do (version {result['version']}){flaws}"
    if state in BAD:
        return f"{document}: {state}: {result['cause'] or 'error'}: {shown(result['detail'])}{_still(result)}"
    if state == "deleted":
        return f"{document}: deleted meanwhile, by a later command"
    if state == "queued":
        return f"{document}: acknowledged, not read yet"
    again = _again(result)
    skipped = f" ({result['pages_skipped']:,} skipped)" if result.get("pages_skipped") else ""
    pages, chunks = summary.count(result["pages"], "page"), summary.count(result["chunks"], "chunk")
    flaws = f"{_by_words(result)}{_gaps(result['gaps'])}"
    return f"{document}: {state}{again}: {pages}{skipped}, {chunks}{_fresh(result)}{flaws}"


def _by_words(result: Result) -> str:
    why = f" ({result['lacking_cause']})" if result["lacking_cause"] else ""
    return f", {summary.count(result['lacking'], 'chunk')} found by words only{why}" if result["lacking"] else ""


def _fresh(result: Result) -> str:
    """How many chunks of a new version had to be made anew; the others are those of the version before."""
    fresh, chunks = result["embedded"], result["chunks"]
    again = result["outcome"] == "changed" and 0 < fresh < chunks
    return f" ({fresh:,} new, {chunks - fresh:,} as before)" if again else ""


def _still(result: Result) -> str:
    older = result.get("searchable_version")
    return f" (version {older} is still searchable)" if older and older != result["version"] else ""


def left_out(folder: Path, choice: Choice) -> str:
    """What of a folder is no type that folio reads, in a sentence; nothing where somebody chose by name."""
    if choice.include:
        return ""
    everything = Choice(("*",), choice.exclude)
    others = [one for one in walk(folder, everything, trouble=lambda *_: None) if not choice.takes(Path(one.name))]
    if not others:
        return ""
    more = ", ..." if len(others) > NAMED_MAX else ""
    names = ", ".join(one.name for one in others[:NAMED_MAX])
    return f"left out of {folder}: {summary.count(len(others), 'file')} of other types ({names}{more})"


def _again(result: Result) -> str:
    """What is new about a document that was there."""
    if result["outcome"] == "pending":
        return " (it was on its way)"
    if result["outcome"] != "changed":
        return ""
    changes = " and ".join(result.get("changes") or ())
    return f" (new version: {changes} changed)" if changes else " (tried again)"


def put(session: Session, file: File, reading: Reading) -> Result:
    """Hand over one file; a refusal is a result like any other."""

    def hand_over(client: Client) -> Result:
        return client.put(file.path, name=file.name, document=file.document, uri=file.uri, reading=reading)

    named = {"document": file.document or file.name, "version": 0, "outcome": "refused"}
    nothing = named | NOTHING | {"state": "refused"}
    try:
        if file.problem:
            return nothing | {"cause": "unreadable", "detail": file.problem}
        with file.path.open("rb"):
            pass  # what cannot be read is known before the owner is asked
        done = session.told(hand_over)
    except Refused as error:
        return nothing | {"cause": error.cause, "detail": str(error).removeprefix(f"{error.cause}: ")}
    except Changing as error:
        return nothing | {"cause": CHANGING, "detail": str(error)}
    except OSError as error:
        if error.filename and os.fspath(error.filename) != str(file.path):  # of the data folder: no file is to blame
            raise
        return nothing | {"cause": "unreadable", "detail": error.strerror or str(error)}
    return done | NOTHING | {"state": "unchanged" if done["outcome"] == "unchanged" else "queued"}


def file_at(path: Path, document: str | None = None, problem: str = "") -> File:
    """A name that is not UTF-8 must still be printable."""
    name = os.fsencode(path.name).decode(errors="replace")
    return File(path, name, document, Path(os.path.realpath(path)).as_uri(), problem)


def _gaps(gaps: dict[int, str]) -> str:
    """Runs of pages that failed alike as one: `page 3 (corrupt), pages 35-60 (render_timeout)`."""
    runs: list[tuple[int, int, str]] = []
    for page, cause in gaps.items():
        if runs and runs[-1][1:] == (int(page) - 1, cause):
            runs[-1] = (runs[-1][0], int(page), cause)
        else:
            runs.append((int(page), int(page), cause))
    named = [f"page {a} ({cause})" if a == b else f"pages {a}-{b} ({cause})" for a, b, cause in runs[:LISTED_MAX]]
    more = f" and {len(runs) - len(named):,} more" if len(runs) > len(named) else ""
    return f", gaps: {', '.join(named)}{more}" if named else ""


def _from_stdin(scratch: Path, name: str | None, document: str | None) -> File:
    path = scratch / "stdin"
    with path.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return File(path, name or f"stdin-{sha256[:8]}", document, "")  # two texts are two documents


def _named(
    given: str, document: str | None, include: Sequence[str], exclude: Sequence[str], *, alone: bool
) -> list[File]:
    """What one argument names. One among others that names nothing is refused like a bad file, and these go on."""
    try:
        return _under(Path(given), document, include, exclude)
    except typer.BadParameter as error:
        if alone:
            raise
        return [file_at(Path(given), problem=error.message.removeprefix(f"{given}: "))]


def _under(path: Path, document: str | None, include: Sequence[str], exclude: Sequence[str]) -> list[File]:
    """The files of a folder, or the file itself: one that is named is taken whatever it is called."""
    if path.is_dir():
        troubles: list[File] = []

        def trouble(place: Path, error: OSError) -> None:
            troubles.append(file_at(place, problem=f"the folder cannot be listed: {error.strerror or error}"))

        if others := left_out(path, Choice((*include,), (*exclude,))):
            tell(others, file=sys.stderr)
        chosen = chosen_files(path, include, exclude, trouble=trouble)
        found = [file_at(one, document, problem="" if one.is_file() else _no_file(one)) for one in chosen]
        if not found and not troubles:
            raise typer.BadParameter(
                f"{path}: nothing in this folder that folio reads, or that the filters let through"
            )
        return found + troubles
    if not path.is_file():
        raise typer.BadParameter(f"{path}: {_no_file(path)}")
    return [file_at(path, document)]


def _no_file(path: Path) -> str:
    if path.exists():
        return "this is no ordinary file"
    return "this link leads nowhere" if path.is_symlink() else "there is no such file or folder"
