"""What the API says when it refuses: always `{"detail": a sentence, "cause": a cause's name or null}`."""

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from folio.errors import Cause, FolioError, Gone, Permanent, Transient
from folio.questions import Filters, Question
from infra.intake import Unknown

STATUS_OF_CAUSE = {Cause.TOO_LARGE: 413, Cause.DISK_FULL: 507, Cause.UNSUPPORTED_TYPE: 415}
SHOWN_CHARS_MAX = 80
PLACES = ("body", "query", "path", "header")
BODY_FIELDS = {"filters": tuple(Filters.model_fields), "": (*Question.model_fields, "document")}
"""Names that a search knows: within `filters`, and beside it."""


class Wrong(ValueError):
    """A parameter that means nothing, in a sentence that names it."""


def add_errors(app: FastAPI) -> None:
    """Every refusal in one shape, whoever refuses."""

    @app.exception_handler(FolioError)
    async def explain(_: Request, error: FolioError) -> JSONResponse:
        cause = error.cause if isinstance(error, Permanent | Transient) else None
        if isinstance(error, Gone):
            return _refusal(410, str(error), Cause.IMAGE_EXPIRED)
        if cause is None:
            return _refusal(404 if isinstance(error, Unknown) else 400, str(error))
        return _refusal(STATUS_OF_CAUSE.get(cause, 503 if isinstance(error, Transient) else 422), str(error), cause)

    @app.exception_handler(ValueError)
    async def refuse(_: Request, error: ValueError) -> JSONResponse:
        return _refusal(422, str(error))

    @app.exception_handler(HTTPException)
    async def say(_: Request, error: HTTPException) -> JSONResponse:
        return _refusal(error.status_code, str(error.detail))

    @app.exception_handler(RequestValidationError)
    async def name(_: Request, error: RequestValidationError) -> JSONResponse:
        return _refusal(422, sentence(error.errors()))


def only_known(request: Request) -> None:
    """Refuse a query parameter that the route does not know: one that is ignored answers another question."""
    known = sorted(_parameters(request.scope["route"].dependant.query_params))
    for name in request.query_params:
        if name not in known:
            raise Wrong(_unknown(name, known, "parameter"))


def sentence(errors: Sequence[Any]) -> str:
    """The first thing that is wrong, with its name and what was given, in words of our own where we have them."""
    wrong = errors[0]
    kind, limits = wrong["type"], wrong.get("ctx", {})
    inside = [str(part) for part in wrong["loc"] if part not in PLACES]
    name = ".".join(inside) or "body"
    if kind == "extra_forbidden":
        return _unknown(name, BODY_FIELDS["filters" if inside[0] == "filters" else ""], "field")
    if kind == "missing":
        return f"{name}: it is missing"
    if kind == "json_invalid":
        return f"body: it is no JSON object: {limits.get('error', 'it cannot be read')}"
    if kind == "value_error" and not inside:  # it says itself what of the whole is wrong
        return str(limits["error"])
    given = repr(wrong.get("input"))
    shown = f"{given[:SHOWN_CHARS_MAX]}…" if len(given) > SHOWN_CHARS_MAX else given
    return f"{name} {shown}: {str(wrong['msg']).removeprefix('Input ').removeprefix('Value error, ')}"


def _unknown(name: str, known: Iterable[str], what: str) -> str:
    """`filters.dokument: there is no such field: document is meant?`"""
    names = list(known)
    close = get_close_matches(name.rpartition(".")[2], names, n=1)
    advice = f"did you mean {close[0]}?" if close else f"there are {', '.join(names) or 'none'}"
    return f"{name}: there is no such {what}: {advice}"


def _parameters(fields: Iterable[Any]) -> Iterator[str]:
    """Names of a route's query parameters, those of a model one by one."""
    for field in fields:
        annotation = field.field_info.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from annotation.model_fields
        else:
            yield field.alias


def _refusal(status: int, detail: str, cause: Cause | None = None) -> JSONResponse:
    return JSONResponse({"detail": detail, "cause": cause}, status)
