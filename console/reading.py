"""`folio page` and `folio open`: a page, its picture with boxes on it, and the passages of the last search."""

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import typer

from console.client import Refused
from console.options import ask_password
from console.session import Session
from folio.errors import FolioError
from infra.places import LAST_SEARCH_FILE, PICTURES_FOLDER

Hit = dict[str, Any]
PRIVATE = 0o700
STDOUT = Path("-")
JPEG_SUFFIXES = (".jpg", ".jpeg")


def remember(data: Path, question: str, hits: Sequence[Hit]) -> None:
    """Keep the numbered hits for `folio open`, readable by this user alone. A folder that cannot be written forgets."""
    with suppress(OSError):
        write_whole(data / LAST_SEARCH_FILE, json.dumps({"question": question, "hits": hits}).encode())


def last_hits(data: Path) -> list[Hit]:
    """The hits of the last search in this data folder. Raises FolioError when there was none."""
    try:
        found: list[Hit] = json.loads((data / LAST_SEARCH_FILE).read_text(encoding="utf-8"))["hits"]
    except FileNotFoundError:
        raise FolioError('nothing was searched for here yet: folio search "your question" numbers its hits') from None
    except (OSError, ValueError, LookupError) as error:
        raise FolioError(f"{data / LAST_SEARCH_FILE}: cannot be read ({error}): search again") from None
    return found


def hit_of(data: Path, wanted: str) -> tuple[int, Hit]:
    """A hit of the last search by its number, or by the start of its chunk's id. Raises FolioError."""
    hits = last_hits(data)
    if wanted.isdecimal() and 1 <= int(wanted) <= len(hits):
        return int(wanted), hits[int(wanted) - 1]
    named = [(number, hit) for number, hit in enumerate(hits, 1) if wanted and hit["chunk_id"].startswith(wanted)]
    if len(named) == 1:
        return named[0]
    what = "more than one hit" if named else "no hit"
    raise FolioError(f"{wanted}: {what} of the last search, which had {len(hits)}: give a number or a chunk id of it")


def marks_of(number: int, hit: Hit, page: int) -> list[str]:
    """The boxes of a hit on one page, as the API takes them; the first one carries the hit's number."""
    boxes = [on["box"] for on in hit["boxes"] if on["page"] == page]
    corners = [f"{box['x0']},{box['y0']},{box['x1']},{box['y1']}" for box in boxes]
    return [f"{one}:hit {number}" if at == 0 else one for at, one in enumerate(corners)]


def marks_on(data: Path, document: str, page: int) -> list[str]:
    """The boxes of all hits of the last search on this page."""
    hits = [(number, hit) for number, hit in enumerate(last_hits(data), 1) if hit["document"] == document]
    return [mark for number, hit in hits for mark in marks_of(number, hit, page)]


def picture(
    session: Session, document: str, page: int, *, marks: Sequence[str] = (), boxes: bool = False, password: str = ""
) -> bytes:
    """JPEG of a page. For an encrypted original a person at a terminal is asked for the password. Raises Refused."""

    def ask(password: str) -> bytes:
        return session.call(lambda client: client.picture(document, page, boxes=boxes, marks=marks, password=password))

    try:
        return ask(password)
    except Refused as error:
        if error.cause == "unsupported_type":
            raise FolioError(f"{document} is a text, it has no picture: folio page prints its pages") from None
        if error.cause != "encrypted":
            raise
        if password or not sys.stdin.isatty():
            raise FolioError(f"{document} is encrypted: --password - asks for its password to draw the page") from None
    return ask(ask_password(f"Password of {document}: "))


def place_of(data: Path, number: int, page: int) -> Path:
    """Where `folio open` writes when nobody says where: in the data folder, for this user alone."""
    folder = data / PICTURES_FOLDER
    folder.mkdir(mode=PRIVATE, exist_ok=True)
    return folder / f"hit-{number}-page-{page}.jpg"


def check_place(place: Path, option: str) -> None:
    """Before anything is drawn: pictures are JPEG, and their folder exists. Raises BadParameter."""
    if place == STDOUT:
        return
    if place.suffix and place.suffix.lower() not in JPEG_SUFFIXES:
        raise typer.BadParameter(f"{option} {place}: pictures are JPEG: a name in .jpg is wanted, or - for stdout")
    if not place.absolute().parent.is_dir():
        raise typer.BadParameter(f"{option} {place}: there is no folder {place.parent}")


def put_picture(place: Path, jpeg: bytes) -> None:
    """To a file, whole, or to stdout. Raises OSError."""
    if place == STDOUT:
        sys.stdout.buffer.write(jpeg)
        sys.stdout.flush()
    else:
        write_whole(place.absolute(), jpeg)


def write_whole(path: Path, content: bytes) -> None:
    """All of it or nothing: beside its place first, then renamed. Raises OSError."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "this is a folder, a file is wanted", str(path))
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # private to this user
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def view(path: Path) -> bool:
    """Open with the desktop's viewer, if there is a desktop: not for root, not in CI. True when it was started."""
    viewer = _viewer()
    if viewer is None:
        return False
    nowhere = subprocess.DEVNULL
    try:
        subprocess.Popen([viewer, str(path)], stdin=nowhere, stdout=nowhere, stderr=nowhere, start_new_session=True)
    except OSError:
        return False
    return True


def _viewer() -> str | None:
    if os.environ.get("CI") or (hasattr(os, "geteuid") and os.geteuid() == 0):
        return None
    if sys.platform == "darwin":
        return shutil.which("open")
    has_desktop = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return shutil.which("xdg-open") if has_desktop else None
