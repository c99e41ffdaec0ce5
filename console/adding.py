"""`folio add`: which files, handing them over, and waiting until they are searchable."""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from console.client import Refused
from console.progress import Progress
from console.session import Session
from folio.ids import TENANT_DEFAULT, doc_of
from folio.settings import Settings
from infra.places import LEDGER_FILE
from ledger import audit

SUFFIXES = frozenset({".pdf", ".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff"})
"""What is taken from a folder; a file that is named is taken whatever it is called, its content decides."""

POLL_S = 0.05
AGAIN = {"changed": " (new version)", "pending": " (it was on its way)"}
OWNER_CHECK_S = 2.0

Result = dict[str, Any]


@dataclass(frozen=True, slots=True)
class File:
    """A file to hand over, and what to call it."""

    path: Path
    name: str
    document: str | None
    uri: str


@contextmanager
def collect(paths: Sequence[str], *, name: str | None, document: str | None) -> Iterator[list[File]]:
    """All files that the arguments name; stdin becomes a temporary file. Raises BadParameter (exit 2)."""
    with ExitStack() as scratch:
        files: list[File] = []
        for given in paths:
            if given == "-":
                folder = scratch.enter_context(tempfile.TemporaryDirectory(prefix="folio-"))
                files.append(_from_stdin(Path(folder), name, document))
            else:
                files += [_file(path, document) for path in _under(Path(given))]
        if document is not None and len(files) > 1:
            raise typer.BadParameter(f"--id names one document, but {len(files)} files were given")
        yield files


def add_all(
    session: Session, settings: Settings, files: Sequence[File], *, wait: bool, talk: bool = True
) -> list[Result]:
    """Hand over all files, then wait until each is settled. One bad file does not hold up the others."""
    results = [_put(session, file) for file in files]
    waiting = [result for result in results if result["state"] == "queued"]
    if wait and waiting:
        wait_until_settled(session, settings, waiting, talk=talk)
    return results


def wait_until_settled(session: Session, settings: Settings, results: list[Result], *, talk: bool) -> list[Result]:
    """Follow the ledger until every result's version is settled; fills in what became of each."""
    ledger = settings.data / LEDGER_FILE
    pending = list(results)
    checked = time.monotonic()
    with Progress(talk=talk) as progress:
        while pending:
            for result in list(pending):
                known = audit.summary(ledger, doc_of(TENANT_DEFAULT, result["document"]))
                if known is None or known.version < result["version"]:
                    continue
                settled = known.state not in audit.UNSETTLED
                if settled:
                    known = audit.document(ledger, known.doc) or known
                    pending.remove(result)
                result.update(_became(known))
                progress.show(result)
            if time.monotonic() - checked > OWNER_CHECK_S:
                checked = time.monotonic()
                progress.waits_for(_waits_for(session))
            if pending:
                time.sleep(POLL_S)
    return results


def sentences(results: Sequence[Result]) -> Iterator[str]:
    """One line a document, for people."""
    for result in results:
        document, state = result["document"], result["state"]
        if result.get("outcome") == "unchanged":
            yield f"{document}: already there, nothing to do (version {result['version']})"
        elif state in ("failed", "refused", "cancelled"):
            yield f"{document}: {state}: {result['cause'] or 'error'}: {result['detail']}"
        elif state == "queued":
            yield f"{document}: acknowledged, not read yet"
        else:
            again = AGAIN.get(result["outcome"], "")
            gaps = f", gaps: {_gaps(result['gaps'])}" if result["gaps"] else ""
            counts = (
                f"{count(result['pages'], 'page')}, {count(result['chunks'], 'chunk')}, {result['embedded']} embedded"
            )
            yield f"{document}: {state}{again}: {counts}{gaps}"


def count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _gaps(gaps: dict[int, str]) -> str:
    return ", ".join(f"page {page} ({cause})" for page, cause in gaps.items())


def _put(session: Session, file: File) -> Result:
    nothing = {"document": file.document or file.name, "version": 0, "outcome": "refused", "state": "refused"}
    try:
        with file.path.open("rb"):
            pass  # what cannot be read is known before the owner is asked
        done = session.call(lambda client: client.put(file.path, name=file.name, document=file.document, uri=file.uri))
    except Refused as error:
        return nothing | {"cause": error.cause, "detail": str(error).removeprefix(f"{error.cause}: ")}
    except OSError as error:
        return nothing | {"cause": "unreadable", "detail": error.strerror or str(error)}
    return done | {"state": "unchanged" if done["outcome"] == "unchanged" else "queued"}


def _became(known: audit.DocumentStatus) -> Result:
    return {
        "state": known.state,
        "pages": known.page_count or known.pages_ok + known.pages_failed,
        "pages_read": known.pages_ok + known.pages_failed,
        "chunks": known.chunks,
        "embedded": known.embedded,
        "gaps": {page.page: str(page.cause) for page in known.pages if page.status == "failed"},
        "cause": known.cause,
        "detail": known.detail or known.sentence,
    }


def _waits_for(session: Session) -> str:
    """What the stages wait for, in words; also finds out that the owner is gone, and becomes the next one."""
    stages = session.call(lambda client: client.stages())["stages"]
    return "; ".join(f"{stage['stage']}: {stage['waits_for']}" for stage in stages if not stage["ready"])


def _from_stdin(scratch: Path, name: str | None, document: str | None) -> File:
    path = scratch / "stdin"
    with path.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    return File(path, name or "stdin", document, "")


def _under(path: Path) -> list[Path]:
    if path.is_dir():
        found = sorted(one for one in path.rglob("*") if one.suffix.lower() in SUFFIXES and one.is_file())
        found = [one for one in found if not any(part.startswith(".") for part in one.relative_to(path).parts)]
        if not found:
            raise typer.BadParameter(f"{path}: no PDF or image in this folder ({', '.join(sorted(SUFFIXES))})")
        return found
    if not path.is_file():
        raise typer.BadParameter(f"{path}: there is no such file or folder")
    return [path]


def _file(path: Path, document: str | None) -> File:
    name = os.fsencode(path.name).decode(errors="replace")  # a name that is not UTF-8 must still be printable
    return File(path, name, document, path.resolve().as_uri())
