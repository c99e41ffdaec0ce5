"""`folio export`: a folder for each document, with its Markdown, its figures beside it, and everything as JSON."""

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from console.client import OwnerGone, Refused
from console.session import Session
from folio.errors import FolioError
from ledger.audit import DocumentStatus

MARKDOWN, JSON, FIGURES = "document.md", "document.json", "figures"
FORMAT = "folio-export-1"
UNFINISHED = ".folio-export-"
NAME_BYTES_MAX = 120
NOT_IN_NAMES = re.compile(r"[^\w.\- ]+")
RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?")
SKIPPED = "skipped"

Page = dict[str, Any]


@dataclass(slots=True)
class Exported:
    """What became of one document."""

    document: str
    folder: str = ""
    pages: int = 0
    figures: int = 0
    notes: list[str] = field(default_factory=list)
    error: str = ""


class Foreign(FolioError):
    """A folder of this name is there, and is not an export of this document."""


def export(session: Session, document: str, into: Path, *, password: str = "") -> Exported:
    """One document into a folder of its own. Never half: it is written beside its place, then renamed.

    An export of the same document is replaced; anything else that is in the way is left alone and said.
    """
    done = Exported(document)
    try:
        into.mkdir(parents=True, exist_ok=True)
        target = _free(into, document)
        with tempfile.TemporaryDirectory(dir=into, prefix=f"{UNFINISHED}{os.getpid()}-") as scratch:
            made = Path(scratch) / "made"
            made.mkdir()
            _Writing(session, document, made, password, done).write()
            _put_in_place(made, target, Path(scratch) / "before")
        done.folder = str(target)
    except OwnerGone as error:
        done.error = f"{error}: export it again"
    except Refused as error:
        done.error = str(error)
    except Foreign as error:
        done.error = str(error)
    except OSError as error:
        done.error = f"{error.filename or into}: {error.strerror or error}"
    return done


def folder_name(document: str) -> str:
    """A name that every file system takes. One that had to be changed gets a piece of a hash, so that none collide."""
    plain = NOT_IN_NAMES.sub("_", document).strip(" .")
    while len(plain.encode()) > NAME_BYTES_MAX:
        plain = plain[:-1]
    if plain == document and not RESERVED.fullmatch(plain):
        return plain
    return f"{plain.rstrip(' .') or 'document'}-{_piece(document)}"


def _piece(document: str) -> str:
    return hashlib.sha256(document.encode()).hexdigest()[:8]


def _free(into: Path, document: str) -> Path:
    """Where it goes: its own name; with a hash where another document's export has that name. Raises Foreign."""
    name = folder_name(document)
    for target in (into / name, into / f"{name}-{_piece(document)}"):
        owner = _exported_there(target)
        if owner in (None, document):
            return target
    raise Foreign(f"{into / name}: something else is there: choose another folder")


def _exported_there(target: Path) -> str | None:
    """Whose export lies there; None when nothing does. Raises Foreign for what is no export of ours."""
    if not target.exists() and not target.is_symlink():
        return None
    try:
        if target.is_symlink():
            raise ValueError
        with (target / JSON).open(encoding="utf-8") as file:
            first = json.loads(file.readline().rstrip().rstrip(",") + "}")
        if first["format"] != FORMAT:
            raise ValueError
        return str(first["document"])
    except (OSError, ValueError, LookupError, TypeError):
        raise Foreign(
            f"{target}: there already, and not an export of folio: move it, or choose another folder"
        ) from None


def _put_in_place(made: Path, target: Path, before: Path) -> None:
    """Replace an older export: it is moved away first, so that the name never holds a mix."""
    if target.exists():
        target.rename(before)
    made.rename(target)


@dataclass(slots=True)
class _Writing:
    """One document, page by page as they come: a book is never held as a whole."""

    session: Session
    document: str
    folder: Path
    password: str
    done: Exported

    def write(self) -> None:
        pages = self._pages()
        head = next(pages)
        with (
            (self.folder / MARKDOWN).open("w", encoding="utf-8") as markdown,
            (self.folder / JSON).open("w", encoding="utf-8") as facts,
        ):
            first = {"format": FORMAT, "document": self.document, **_facts(head)}
            facts.write(json.dumps({name: first.pop(name) for name in ("format", "document")})[:-1] + ",\n")
            facts.write(json.dumps(first, ensure_ascii=False)[1:-1] + ',\n"pages": [')
            for number, page in enumerate(pages):
                facts.write(",\n" if number else "\n")
                self._page(page, markdown, facts)
            facts.write("\n]}\n")

    def _pages(self) -> Iterator[dict[str, Any]]:
        """The connection is read to its end within one call, and figures are asked for beside it."""
        return self.session.call(lambda client: client.content(self.document))

    def _page(self, page: Page, markdown: TextIO, facts: TextIO) -> None:
        self.done.pages += 1
        figures = dict(self._figures(page))
        markdown.write(f"<!-- page {page['page']}{_remark(page)} -->\n\n")
        body = page_markdown(page, figures)
        markdown.write(f"{body}\n\n" if body else "")
        json.dump(_page_facts(page, figures), facts, ensure_ascii=False)

    def _figures(self, page: Page) -> Iterator[tuple[int, str]]:
        """Cut out every figure; what cannot be drawn is noted once a page, and its text stays."""
        boxes = [(at, block["box"]) for at, block in enumerate(page["blocks"]) if _is_figure(block)]
        for number, (at, box) in enumerate(boxes, start=1):
            name = f"{FIGURES}/page-{page['page']}-{number}.jpg"
            crop = f"{box['x0']},{box['y0']},{box['x1']},{box['y1']}"
            try:
                self._cut(page["page"], crop, self.folder / name)
            except (Refused, FolioError) as error:
                self.done.notes.append(f"page {page['page']}: no picture of its figures: {error}")
                return
            self.done.figures += 1
            yield at, name

    def _cut(self, page: int, crop: str, path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(
            self.session.call(lambda client: client.picture(self.document, page, crop=crop, password=self.password))
        )


def page_markdown(page: Page, figures: dict[int, str]) -> str:
    """A page's Markdown without what stands in its margins; figures are linked where they stand."""
    text, parts, at = page["markdown"], [], 0
    for number, block in enumerate(page["blocks"]):
        if block.get("furniture"):
            parts.append(text[at : block["start"]])
            at = block["end"]
        elif number in figures:
            parts.append(text[at : block["end"]])
            parts.append(f"\n\n![]({figures[number]})\n\n")
            at = block["end"]
    parts.append(text[at:])
    return re.sub(r"\n{3,}", "\n\n", "".join(parts)).strip()


def _is_figure(block: dict[str, Any]) -> bool:
    return block["kind"] == "figure" and block.get("box") is not None and not block.get("furniture")


def _remark(page: Page) -> str:
    if page["status"] == "failed":
        return f": failed: {page['cause']}"
    return ": skipped" if SKIPPED in page["flags"] else ""


def _facts(head: dict[str, Any]) -> dict[str, Any]:
    wanted = ("version", "revision", "name", "uri", "metadata", "page_count", "complete")
    return {name: head[name] for name in wanted}


def _page_facts(page: Page, figures: dict[int, str]) -> Page:
    blocks = [block | ({"picture": figures[at]} if at in figures else {}) for at, block in enumerate(page["blocks"])]
    wanted = ("page", "status", "source", "engine", "cause", "detail", "flags", "markdown")
    return {name: page[name] for name in wanted} | {"blocks": blocks}


def not_exported(known: Iterable[DocumentStatus]) -> Iterator[str]:
    """A line for each document of which nothing was ever read, and so nothing is exported; deleted ones are no more."""
    for one in known:
        if one.revision is None and one.state != "deleted":
            why = one.detail or one.sentence
            yield f"left out: {one.document}: it is {one.state}{f': {why}' if why else ''}"


def swept(into: Path) -> None:
    """What an export that was killed left behind; one that still runs keeps its own."""
    for path in into.glob(f"{UNFINISHED}*"):
        pid = path.name.removeprefix(UNFINISHED).partition("-")[0]
        if not (pid.isdecimal() and _lives(int(pid))):
            shutil.rmtree(path, ignore_errors=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
