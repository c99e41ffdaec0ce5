"""The owner's HTTP API on loopback: the same schema that the command line prints and the web page will use."""

import errno
import json
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote

from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import ClientDisconnect

from console.api_replay import dead_letters, replays
from console.health import alive, ready
from console.refusals import Wrong, add_errors, only_known
from folio import __version__, questions, records
from folio.claims import plain_metadata
from folio.errors import Cause, FolioError, Permanent, Transient
from folio.ids import DOC_ID_CHARS_MAX, TENANT_DEFAULT, doc_of
from folio.log import Record
from folio.questions import Filters, Hit, Question
from folio.records import Box, PageText, Source
from folio.topics import TEXTS
from infra.intake import Named
from infra.pictures import Wanted, marks_of
from infra.places import INCOMING
from infra.run import Owner
from ingest.marks import Mark
from ledger import audit
from ocr_stage.engine import Reading

Document = Annotated[str, Query(min_length=1, max_length=DOC_ID_CHARS_MAX)]
PageNumber = Annotated[int, Query(ge=1, le=questions.PAGES_MAX)]
HIT_COLOUR = "#d50000"


class StrictFilters(Filters):
    """Filters that refuse a key they do not know: a filter that is ignored answers another question."""

    model_config = ConfigDict(extra="forbid")


class Asked(Question):
    """A Question as a caller writes it; `document` is short for a filter with that one document."""

    model_config = ConfigDict(extra="forbid")

    filters: StrictFilters = StrictFilters()
    document: str | None = None

    def meant(self) -> Question:
        if self.document is None:
            return self
        documents = (*self.filters.documents, self.document)
        return self.model_copy(update={"filters": self.filters.model_copy(update={"documents": documents})})


SEARCH_BODY = {"required": True, "content": {"application/json": {"schema": Asked.model_json_schema()}}}


async def _asked(request: Request) -> Asked:
    """The body is JSON whatever its Content-Type says: curl -d calls it a form."""
    try:
        return Asked.model_validate_json(await request.body())
    except ValidationError as error:
        raise RequestValidationError(error.errors(include_url=False)) from None


class PictureAsked(BaseModel):
    """Which picture. `crop` and every `mark` are left,top,right,bottom in fractions; a mark may end in `:label`."""

    model_config = ConfigDict(extra="forbid")

    document: str = Field(min_length=1, max_length=DOC_ID_CHARS_MAX)
    page: int = Field(ge=1, le=questions.PAGES_MAX)
    boxes: bool = False
    mark: list[str] = Field(default=[], max_length=1000)
    crop: str = ""


class Putting(BaseModel):
    """What is said of a document that is put in. `metadata` is a JSON object, `pages` are like 1-3,7."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=DOC_ID_CHARS_MAX)
    document: str | None = None
    uri: str = ""
    pages: str = ""
    metadata: str = ""

    @property
    def facts(self) -> dict[str, Any] | None:
        """None: nothing is said, so what was said before stays. Raises Wrong, which is answered with 422."""
        if not self.metadata:
            return None
        try:
            found = json.loads(self.metadata)
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise Wrong(
                f'metadata {self.metadata[:80]!r}: a JSON object is wanted, like {{"year": 2024, "paid": true}}'
            )
        try:
            return plain_metadata(found)
        except ValueError as error:
            raise Wrong(f"metadata: {error}") from None


class Answer(BaseModel):
    """What was found; `note` says what a reader should know about this index, mostly nothing."""

    hits: list[Hit]
    note: str = ""


def create_app(owner: Owner, token: str, *, stop: Callable[[], None]) -> FastAPI:
    """The app over one open owner; every call under /v1 wants `Authorization: Bearer <token>`."""
    app = FastAPI(title="folio", version=__version__, docs_url=None, redoc_url=None)
    allowed = [Depends(_with_token(token)), Depends(only_known)]
    add_errors(app)
    _add_health(app, owner)
    app.include_router(_reading(owner), prefix="/v1", dependencies=allowed)
    app.include_router(_pages(owner), prefix="/v1", dependencies=allowed)
    app.include_router(_changing(owner, stop), prefix="/v1", dependencies=allowed)
    app.include_router(dead_letters(owner), prefix="/v1", dependencies=allowed)
    app.include_router(replays(owner), prefix="/v1", dependencies=allowed)
    return app


def _reading(owner: Owner) -> APIRouter:
    router = APIRouter()

    @router.post("/search", openapi_extra={"requestBody": SEARCH_BODY})
    async def search(question: Annotated[Asked, Depends(_asked)]) -> Answer:
        """Passages that answer, best first, each with document, version, pages and boxes."""
        return Answer(hits=await owner.search(question.meant()), note=owner.search_note)

    @router.get("/documents")
    def documents() -> dict[str, Any]:
        return {"documents": [status.model_dump(mode="json") for status in audit.documents(owner.ledger_file)]}

    @router.get("/documents/status")
    def status(document: Document) -> dict[str, Any]:
        """One document with every page."""
        known = audit.document(owner.ledger_file, doc_of(TENANT_DEFAULT, document))
        if known is None:
            raise HTTPException(404, f"there is no document {document!r}")
        return known.model_dump(mode="json")

    @router.get("/stages")
    async def stages(idle: bool = True) -> dict[str, Any]:
        """What each stage does and waits for; `idle` reads the whole ledger, and may be left out."""
        known = {"stages": [asdict(status) for status in await owner.stages()]}
        return known | ({"idle": await owner.idle()} if idle else {})

    return router


def _pages(owner: Owner) -> APIRouter:
    router = APIRouter()

    @router.get("/documents/page")
    async def page(document: Document, page: PageNumber) -> PageText:
        """One page as it is shown: Markdown, blocks with their boxes, or the cause of its failure."""
        return await owner.page(document, page)

    @router.get("/documents/content")
    async def content(document: Document) -> StreamingResponse:
        """Every page of a document, one JSON object a line: first the document without pages, then each page."""
        return StreamingResponse(_lines(await owner.document(document)), media_type="application/x-ndjson")

    @router.get("/documents/picture")
    async def picture(
        asked: Annotated[PictureAsked, Query()], folio_password: Annotated[str, Header()] = ""
    ) -> Response:
        """JPEG of one page, with its blocks or any boxes drawn on it, or the part of it in `crop`."""
        blocks = marks_of(await owner.page(asked.document, asked.page)) if asked.boxes else ()
        wanted = Wanted(
            document=asked.document,
            page=asked.page,
            marks=(*blocks, *map(_mark, asked.mark)),
            crop=_box("crop", asked.crop) if asked.crop else None,
            password=unquote(folio_password),
        )
        return Response(await _drawn(owner, wanted), media_type="image/jpeg")

    return router


async def _drawn(owner: Owner, wanted: Wanted) -> bytes:
    """Of an encrypted original the password is wanted again: none is ever stored."""
    try:
        return await owner.pictures.picture(wanted)
    except Permanent as error:
        if error.cause != Cause.ENCRYPTED:
            raise
        what = "the password is not the right one" if wanted.password else "it is encrypted"
        advice = "give its password, percent-encoded, in the header Folio-Password"
        raise Permanent(error.cause, f"{wanted.document}: {what}: {advice}") from None


def _lines(document: records.Document) -> Iterator[str]:
    yield document.model_copy(update={"pages": ()}).model_dump_json() + "\n"
    for text in document.pages:
        yield text.model_dump_json() + "\n"


def _mark(given: str) -> Mark:
    corners, _, label = given.partition(":")
    return Mark(box=_box("mark", corners), colour=HIT_COLOUR, label=label)


def _box(name: str, given: str) -> Box:
    """Raises Wrong, which is answered with 422."""
    try:
        x0, y0, x1, y1 = (float(corner) for corner in given.split(","))
        return Box(x0=x0, y0=y0, x1=x1, y1=y1)
    except ValueError:
        raise Wrong(
            f"{name} {given[:80]!r}: left,top,right,bottom in fractions of the page, 0 to 1, are wanted"
        ) from None


def _changing(owner: Owner, stop: Callable[[], None]) -> APIRouter:
    router = APIRouter()

    @router.put("/documents", status_code=202)
    async def put(
        request: Request,
        response: Response,
        asked: Annotated[Putting, Query()],
        folio_password: Annotated[str, Header()] = "",
    ) -> dict[str, Any]:
        """The body is the file. 202: acknowledged, will be searchable. 200: the same bytes are there already.

        A password comes percent-encoded in the header Folio-Password, never in the URL.
        """
        named = Named(asked.name, asked.document, asked.uri, metadata=asked.facts, pages=asked.pages)
        async with _received(request, owner) as path:
            done = await owner.intake.put(path, named, password=unquote(folio_password))
        response.status_code = 200 if done.outcome == "unchanged" else 202
        return asdict(done)

    @router.put("/documents/page", status_code=202)
    async def replace(document: Document, page: PageNumber, text: PageText) -> PageText:
        """The body is a later reading of a page that OCR has read: it is shown from then on, chunked and indexed."""
        return await _replaced(owner, await owner.page(document, page), text)

    @router.delete("/documents", status_code=202)
    async def delete(document: Document) -> dict[str, Any]:
        return asdict(await owner.intake.delete(document))

    @router.post("/documents/cancel", status_code=202)
    async def cancel(document: Document) -> dict[str, Any]:
        return asdict(await owner.intake.cancel(document))

    @router.post("/stop", status_code=202)
    async def stop_owner() -> dict[str, str]:
        stop()
        return {"owner": "stopping"}

    return router


def _add_health(app: FastAPI, owner: Owner) -> None:
    @app.get("/healthz")
    async def healthz() -> JSONResponse:
        status, said = alive(owner)
        return JSONResponse(said, status)

    @app.get("/readyz")
    async def readyz() -> JSONResponse:
        status, said = ready(owner)
        return JSONResponse(said, status)

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


def _with_token(token: str) -> Callable[[Request], None]:
    def check(request: Request) -> None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not secrets.compare_digest(given.encode(), token.encode()):
            raise HTTPException(401, "the token in <data>/owner.json is wanted as: Authorization: Bearer <token>")

    return check


async def _replaced(owner: Owner, shown: PageText, text: PageText) -> PageText:
    """Appended as the OCR stage would have. Raises FolioError, or Wrong for what is of something else."""
    if shown.source is not Source.OCR:
        raise FolioError(f"page {shown.page} has text of its own, which goes before what OCR reads: nothing to replace")
    if (text.doc, text.version, text.page, text.source) != (shown.doc, shown.version, shown.page, shown.source):
        raise Wrong(f"page {text.page} of {text.doc} in version {text.version}: not the page that is there now")
    if text.status != "ok" or text.verify:
        raise Wrong("a reading that failed, or is only compared, takes no other's place")
    Reading(markdown=text.markdown, blocks=text.blocks)  # raises for blocks beyond their text
    facts = {"page_count": shown.page_count, "name": shown.name, "image": shown.image}
    later = text.model_copy(update={**facts, "read_ms": int(time.time() * 1000)})
    await owner.parts.log.append(TEXTS, [Record(key=later.doc, value=later.encode())])
    return later


@asynccontextmanager
async def _received(request: Request, owner: Owner) -> AsyncIterator[Path]:
    """The body in a temporary file beside the blobs, refused as soon as it is larger than allowed."""
    bytes_max = owner.settings.ingest.file_bytes_max
    received = 0
    with _room(), tempfile.NamedTemporaryFile(dir=owner.settings.data, prefix=INCOMING, buffering=0) as file:
        try:
            async for part in request.stream():
                received += len(part)
                if received > bytes_max:
                    raise Permanent(Cause.TOO_LARGE, f"more than {bytes_max:,} bytes (ingest.file_bytes_max)")
                file.write(part)
        except ClientDisconnect:
            raise HTTPException(400, f"the connection ended after {received:,} bytes: nothing was put in") from None
        yield Path(file.name)


@contextmanager
def _room() -> Iterator[None]:
    """A disk without room for the upload is the disk's problem, not the file's."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Transient(
                Cause.DISK_FULL, "there is no room for the upload: make some, and add the file again"
            ) from None
        raise
