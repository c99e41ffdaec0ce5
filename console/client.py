"""Talks to an owner over loopback HTTP with nothing but the standard library, so that commands start at once."""

import http.client
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from folio.errors import FolioError
from folio.questions import Question
from infra.lock import Address

TIMEOUT_S = 120.0
BODY_BYTES = 1 << 20
UNPROCESSABLE = 422
"""Without a cause: a value that means nothing, as wrong in an option as it is in the API."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How a document is to be read, and what is said of it; `metadata` None: what was said of it before stays.

    The password shows in no representation.
    """

    pages: str = ""
    metadata: Mapping[str, Any] | None = None
    password: str = field(default="", repr=False)


AS_IT_IS = Reading()


class OwnerGone(FolioError):
    """The owner ended while we talked to it; whatever it acknowledged is safe."""


class Changing(FolioError):
    """Somebody writes to the file: half of it, or a mix of two, is not handed over."""


class Refused(FolioError):
    """The owner answered with an error: its sentence, its cause if it named one, and the HTTP status."""

    def __init__(self, status: int, detail: str, cause: str | None) -> None:
        super().__init__(detail)
        self.status = status
        self.cause = cause
        self.is_usage = status == UNPROCESSABLE and cause is None


class Client:
    """One owner's API. Every method returns what the API answers, as plain dictionaries."""

    def __init__(self, address: Address) -> None:
        self.address = address

    def search(self, question: Question) -> dict[str, Any]:
        """`hits`, and a `note` about the index."""
        return self._call("POST", "/v1/search", body=question.encode())

    def put(
        self, path: Path, *, name: str, document: str | None = None, uri: str = "", reading: Reading = AS_IT_IS
    ) -> dict[str, Any]:
        asked = {"name": name, "uri": uri, "document": document, "pages": reading.pages}
        metadata = json.dumps(dict(reading.metadata)) if reading.metadata is not None else ""
        address = _address("/v1/documents", asked | {"metadata": metadata})
        return self._call("PUT", address, body=path, password=reading.password)

    def delete(self, document: str) -> dict[str, Any]:
        return self._call("DELETE", _address("/v1/documents", {"document": document}))

    def stages(self) -> dict[str, Any]:
        return self._call("GET", "/v1/stages?idle=false")

    def page(self, document: str, page: int) -> dict[str, Any]:
        return self._call("GET", _address("/v1/documents/page", {"document": document, "page": page}))

    def replace(self, document: str, page: int, text: Mapping[str, Any]) -> dict[str, Any]:
        """A later reading of the page, as it is shown from then on."""
        address = _address("/v1/documents/page", {"document": document, "page": page})
        return self._call("PUT", address, body=json.dumps(text).encode())

    def content(self, document: str) -> Iterator[dict[str, Any]]:
        """The document without its pages, then page by page as they arrive."""
        with self._answer("GET", _address("/v1/documents/content", {"document": document})) as response:
            for line in response:
                yield json.loads(line)

    def picture(
        self,
        document: str,
        page: int,
        *,
        boxes: bool = False,
        marks: Sequence[str] = (),
        crop: str = "",
        password: str = "",
    ) -> bytes:
        """JPEG of a page. `marks` and `crop` are left,top,right,bottom in fractions of it."""
        asked = {"document": document, "page": page, "boxes": "true" if boxes else "", "mark": marks, "crop": crop}
        with self._answer("GET", _address("/v1/documents/picture", asked), password=password) as response:
            return response.read()

    def dead(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """`dead`, the oldest first, and `causes` with how many there are of each."""
        return self._call("GET", _address("/v1/dead", asked))

    def dead_entry(self, position: str) -> dict[str, Any]:
        return self._call("GET", _address("/v1/dead/entry", {"position": position}))

    def redrive(self, positions: Sequence[str]) -> dict[str, Any]:
        return self._call("POST", _address("/v1/dead/redrive", {"position": list(positions)}))

    def replay(self, verb: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """`plan`, `begin`, `one`, `stop` or `resume`."""
        method, path = ("GET" if verb == "one" else "POST"), ("" if verb == "begin" else f"/{verb}")
        return self._call(method, _address(f"/v1/replays{path}", asked))

    def idle(self) -> bool:
        """Whether everything was handled and nothing is due."""
        return bool(self._call("GET", "/v1/stages?idle=true")["idle"])

    def replays(self) -> dict[str, Any]:
        return self._call("GET", "/v1/replays")

    def _call(
        self, method: str, address: str, *, body: bytes | Path | None = None, password: str = ""
    ) -> dict[str, Any]:
        with self._answer(method, address, body=body, password=password) as response:
            return dict(json.loads(response.read() or b"{}"))

    @contextmanager
    def _answer(
        self, method: str, address: str, *, body: bytes | Path | None = None, password: str = ""
    ) -> Iterator[http.client.HTTPResponse]:
        """The answer while it is read. Raises Refused for what the owner refuses, OwnerGone when it ends meanwhile,
        Changing for a file that does.
        """
        connection = http.client.HTTPConnection(self.address.host, self.address.port, timeout=TIMEOUT_S)
        headers = {"Authorization": f"Bearer {self.address.token}", "Content-Type": "application/json"}
        headers |= {"Folio-Password": quote(password)} if password else {}
        try:
            if isinstance(body, Path):
                found = body.stat()
                headers |= {"Content-Type": "application/octet-stream", "Content-Length": str(found.st_size)}
                connection.request(method, address, _parts(body, found), headers)
            else:
                connection.request(method, address, body, headers)
            response = connection.getresponse()
            if response.status >= 400:
                answer = _refusal(response.read())
                raise Refused(response.status, str(answer.get("detail", answer)), answer.get("cause"))
            yield response
        except (ConnectionError, http.client.HTTPException, TimeoutError) as error:
            raise OwnerGone(
                f"the folio process {self.address.pid} does not answer: {error or type(error).__name__}"
            ) from None
        finally:
            connection.close()


def _refusal(body: bytes) -> dict[str, Any]:
    """What the owner says; a defect of its own is no JSON."""
    try:
        return dict(json.loads(body or b"{}"))
    except ValueError:
        return {"detail": f"a defect of folio: {body[:200].decode(errors='replace')} (its log says more)"}


def _address(path: str, asked: Mapping[str, Any]) -> str:
    given = {name: value for name, value in asked.items() if value}
    return f"{path}?{urlencode(given, doseq=True)}"


def _parts(path: Path, found: os.stat_result) -> Iterator[bytes]:
    """The bytes that were found. The last of them are held back from a file that is another by then."""
    left = found.st_size
    with path.open("rb") as file:
        while left > BODY_BYTES and (part := file.read(BODY_BYTES)):
            left -= len(part)
            yield part
        last = file.read(left)
        if len(last) != left or _looks(os.fstat(file.fileno())) != _looks(found):
            raise Changing("somebody writes to it: add it again when it is complete")
        yield last


def _looks(found: os.stat_result) -> tuple[int, int]:
    return found.st_size, found.st_mtime_ns
