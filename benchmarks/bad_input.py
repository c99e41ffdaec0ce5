"""Does every bad file end with its cause? Files made to break readers, and all of FOLIO_TEST_DATA, through the sandbox.

Must reach: each file that cannot be read has one of the causes that belong to it, no file has none, nothing crashes or
runs into the clock that need not, and good files beside them are read. Prints the second table of docs/formats.md.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from folio.errors import Cause, Permanent
from ingest.sandbox import Limits, Sandbox
from ingest.sniff import READS
from tests import hostile_files as make

LIMITS = Limits(page_seconds_max=20)
PAGE = b"<!doctype html><html><body><p>Please log in.</p></body></html>"
OK = "read"
TIME_OR_MEMORY = frozenset({Cause.RENDER_TIMEOUT, Cause.RENDER_OOM})


@dataclass(frozen=True, slots=True)
class Bad:
    """A file, how it is made, and what may come of it: causes, or OK where a reader copes."""

    what: str
    name: str
    make: Callable[[Path], Path]
    may: frozenset[str]
    password: str = ""
    chosen: str = ""


def bad(what: str, name: str, make_it: Callable[[Path], Path], *may: str, password: str = "", chosen: str = "") -> Bad:
    return Bad(what, name, make_it, frozenset(may), password, chosen)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a file: a cause, OK, or nothing that has a name; and what a person is told."""

    cause: str
    words: str


NAMES = [
    bad("0 bytes", "empty.pdf", lambda path: make.wrapped(path, b""), Cause.UNSUPPORTED_TYPE),
    bad("only blanks", "blank.txt", lambda path: make.wrapped(path, b" \n\n \t"), Cause.ZERO_PAGES),
    bad("plain text named .pdf", "notes.pdf", lambda p: make.wrapped(p, b"Dear reader"), Cause.UNSUPPORTED_TYPE),
    bad("a login page named .pdf", "login.pdf", lambda path: make.wrapped(path, PAGE), Cause.UNSUPPORTED_TYPE),
    bad("a Word document named .pdf", "letter.pdf", make.docx, Cause.UNSUPPORTED_TYPE),
    bad("a Word document", "letter.docx", make.docx, Cause.UNSUPPORTED_TYPE),
    bad(
        "an old Word document",
        "a.doc",
        lambda p: make.wrapped(p, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
        "unsupported_type",
    ),
    bad("a zip named .pdf", "zip.pdf", lambda p: make.wrapped(p, b"PK\x03\x04" + b"\1" * 60), Cause.UNSUPPORTED_TYPE),
    bad("an e-mail", "a.eml", lambda p: make.wrapped(p, b"MIME-Version: 1.0\n\nDear"), Cause.UNSUPPORTED_TYPE),
    bad("binary named .txt", "a.txt", lambda p: make.wrapped(p, bytes(range(256)) * 40), Cause.UNSUPPORTED_TYPE),
    bad(
        "NULs far into a text", "b.txt", lambda p: make.wrapped(p, b"word " * 2000 + b"\0" * 9), Cause.UNSUPPORTED_TYPE
    ),
    bad("a PNG named .pdf", "picture.pdf", lambda path: make.image(path.with_suffix(".png")).rename(path), OK),
]
PDFS = [
    bad("needs a password, none given", "locked.pdf", lambda p: make.encrypted(p, user="secret"), Cause.ENCRYPTED),
    bad("wrong password", "wrong.pdf", lambda p: make.encrypted(p, user="secret"), Cause.ENCRYPTED, password="guess"),
    bad("right password", "right.pdf", lambda p: make.encrypted(p, user="secret"), OK, password="secret"),
    bad("owner's password only", "owner.pdf", lambda path: make.encrypted(path, user=""), OK),
    bad("header, then nothing", "broken.pdf", lambda p: make.wrapped(p, b"%PDF-1.7\nnothing"), Cause.CORRUPT),
    bad("cut in half", "half.pdf", lambda p: make.cut_off(make.pdf(p, *[make.prose] * 9)), "corrupt", "zero_pages", OK),
    bad("no pages", "none.pdf", make.no_pages, Cause.ZERO_PAGES),
    bad("a page tree that holds itself", "loop.pdf", make.looping_pages, "zero_pages", "corrupt", "render_crash"),
    bad("200,000 pages", "many.pdf", lambda path: make.many_pages(path, 200_000), Cause.TOO_MANY_PAGES),
    bad("a page of 5 x 5 m", "vast.pdf", make.vast_page, OK),
    bad("a page of 9,000 x 1 points", "sliver.pdf", make.sliver, OK),
    bad("2 GB of drawing in 6 MB", "bomb.pdf", lambda path: make.flate_bomb(path, 2048), *TIME_OR_MEMORY),
    bad("--pages beyond the end", "p.pdf", lambda path: make.pdf(path, make.prose), Cause.PAGE_MISSING, chosen="7-"),
    bad("--pages backwards", "q.pdf", lambda path: make.pdf(path, make.prose), Cause.SCHEMA_INVALID, chosen="3-1"),
]
IMAGES = [
    *(
        bad(
            f"{kind} of 60,000 x 60,000 pixels",
            f"huge.{kind}",
            lambda p: make.grown(p, 60_000),
            Cause.PIXEL_LIMIT,
            *more,
        )
        for kind, more in {**dict.fromkeys(("gif", "bmp", "jp2", "tiff", "heic"), ()), "avif": (Cause.CORRUPT,)}.items()
    ),
    bad("png of 60,000 x 60,000 pixels", "huge.png", make.huge_png, Cause.PIXEL_LIMIT),
    *(
        bad(f"{kind} cut in half", f"half.{kind}", lambda p: make.cut_off(make.image(p, size=(900, 700))), "corrupt")
        for kind in ("jpg", "png", "webp", "tiff", "gif", "bmp", "jp2", "heic", "avif")
    ),
    *(
        bad(
            f"{kind} of which 40 bytes came",
            f"start.{kind}",
            lambda p: make.cut_off(make.image(p), 40),
            "corrupt",
        )
        for kind in ("heic", "avif", "jp2")
    ),
    bad("a TIFF whose frames go in a circle", "loop.tiff", make.looping_tiff, OK, Cause.CORRUPT),
    bad(
        "a TIFF of 5,001 frames",
        "frames.tiff",
        lambda path: make.many_frames_tiff(path, 5001),
        Cause.TOO_MANY_PAGES,
    ),
]
TEXTS = [
    bad("1 GB of one line", "line.txt", lambda path: make.sparse(path, 1 << 30), Cause.TOO_LARGE),
    bad("65 MB of one line", "long.txt", lambda path: make.wrapped(path, b"word " * 14_000_000), Cause.TOO_LARGE),
    bad("600 MB", "large.pdf", lambda path: make.sparse(path, 600 << 20, b"%PDF-1.7"), Cause.TOO_LARGE),
    bad("HTML nested 100,000 deep", "deep.html", lambda path: make.wrapped(path, b"<div>" * 100_000), Cause.CORRUPT),
    bad("lists nested 4,000 deep", "lists.html", lambda path: make.wrapped(path, b"<ul><li>x" * 4000), OK),
    bad("HTML that only runs", "js.html", lambda p: make.wrapped(p, b"<html><script>document.write(1)"), "zero_pages"),
    bad("UTF-16 that is none", "utf16.txt", make.utf16_garbage, Cause.CORRUPT),
    bad("10,000 quotations deep", "quotes.md", lambda path: make.wrapped(path, b"> " * 10_000 + b"x"), OK),
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="only what has this in its name or description; no test data")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        return asyncio.run(measure(Path(scratch), asked.only))


async def measure(scratch: Path, only: str) -> int:
    sandbox = Sandbox(LIMITS)
    failed = 0
    print("| what | bytes | comes to | what folio says | CPU s |\n|---|---|---|---|---|")
    for case in [case for case in [*NAMES, *PDFS, *IMAGES, *TEXTS] if only in f"{case.what} {case.name}"]:
        path = case.make(scratch / case.name)
        before = spent(sandbox)
        found = await outcome(sandbox, path, case)
        _wait_for_children(sandbox)
        wrong = found.cause not in case.may
        failed += wrong
        expected = f" **expected {' or '.join(sorted(case.may))}**" if wrong else ""
        row(f"{case.what} (`{case.name}`)", path, found, expected, f"{spent(sandbox) - before:.2f}")
        path.unlink()
    failed += 0 if only else await bundled(sandbox)
    await sandbox.close()
    print(f"\n{failed} files without their cause; must reach 0: {'reached' if failed == 0 else 'NOT reached'}")
    return min(failed, 1)


async def bundled(sandbox: Sandbox) -> int:
    """Every file of FOLIO_TEST_DATA: those with a cause are listed, the others counted."""
    folder = Path(os.environ.get("FOLIO_TEST_DATA", ""))
    if not os.environ.get("FOLIO_TEST_DATA"):
        print("\nFOLIO_TEST_DATA is unset: only files made on the spot were tried.")
        return 0
    before = spent(sandbox)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    nameless = refused = 0
    for path in files:
        found = await outcome(sandbox, path)
        nameless += not found.cause
        if found.cause != OK:
            refused += 1
            row(f"of the test data (`{path.name}`)", path, found, "", "")
    _wait_for_children(sandbox)
    took = spent(sandbox) - before
    print(f"\nTest data: {len(files)} files, {refused} of them refused and in the table; {took:.0f} CPU seconds.")
    return nameless


async def outcome(sandbox: Sandbox, path: Path, case: Bad | None = None) -> Outcome:
    """The cause of the file, or of its first page that has one."""
    try:
        asked = {"password": case.password, "chosen": case.chosen} if case else {}
        failed = [page async for page in sandbox.pages(path, **asked) if page.cause is not None]
    except Permanent as error:
        return Outcome(error.cause.value, error.detail or error.cause.sentence)
    except Exception as error:
        return Outcome("", f"no cause, but {type(error).__name__}: {error}")
    if not failed or failed[0].cause is None:
        return Outcome(OK, "")
    return Outcome(failed[0].cause.value, failed[0].detail or failed[0].cause.sentence)


def row(what: str, path: Path, found: Outcome, expected: str, seconds: str) -> None:
    words = found.words.replace(f" folio reads {READS}.", "").replace("|", "\\|")
    print(f"| {what} | {path.stat().st_size:,} | {found.cause}{expected} | {words} | {seconds} |", flush=True)


def spent(sandbox: Sandbox) -> float:
    """CPU seconds of the children so far: a zygote's own and those of the children that it has buried."""
    times = [process.cpu_times() for process in _zygotes(sandbox)]
    return sum(time.user + time.system + time.children_user + time.children_system for time in times)


def _zygotes(sandbox: Sandbox) -> list[psutil.Process]:
    running = [zygote._process for zygote in sandbox._zygotes.values()]
    return [psutil.Process(process.pid) for process in running if process is not None]


def _wait_for_children(sandbox: Sandbox) -> None:
    """A child that was killed counts once its zygote has buried it."""
    for _ in range(100):
        if not any(zygote.children() for zygote in _zygotes(sandbox)):
            return
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
