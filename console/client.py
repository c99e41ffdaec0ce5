"""Talks to an owner over loopback HTTP with nothing but the standard library, so that commands start at once."""

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from folio.errors import FolioError
from folio.records import Question
from infra.lock import Address

TIMEOUT_S = 120.0
BODY_BYTES = 1 << 20


class OwnerGone(FolioError):
    """The owner ended while we talked to it; whatever it acknowledged is safe."""


class Refused(FolioError):
    """The owner answered with an error: its sentence, its cause if it named one, and the HTTP status."""

    def __init__(self, status: int, detail: str, cause: str | None) -> None:
        super().__init__(detail)
        self.status = status
        self.cause = cause


class Client:
    """One owner's API. Every method returns what the API answers, as plain dictionaries."""

    def __init__(self, address: Address) -> None:
        self.address = address

    def search(self, question: Question) -> list[dict[str, Any]]:
        hits: list[dict[str, Any]] = self._call("POST", "/v1/search", body=question.encode())["hits"]
        return hits

    def put(self, path: Path, *, name: str, document: str | None, uri: str) -> dict[str, Any]:
        asked = {"name": name, "uri": uri} | ({"document": document} if document else {})
        return self._call("PUT", f"/v1/documents?{urlencode(asked)}", body=path)

    def delete(self, document: str) -> dict[str, Any]:
        return self._call("DELETE", f"/v1/documents?{urlencode({'document': document})}")

    def stages(self) -> dict[str, Any]:
        return self._call("GET", "/v1/stages")

    def _call(self, method: str, path: str, *, body: bytes | Path | None = None) -> dict[str, Any]:
        connection = http.client.HTTPConnection(self.address.host, self.address.port, timeout=TIMEOUT_S)
        headers = {"Authorization": f"Bearer {self.address.token}", "Content-Type": "application/json"}
        try:
            if isinstance(body, Path):
                headers |= {"Content-Type": "application/octet-stream", "Content-Length": str(body.stat().st_size)}
                connection.request(method, path, _parts(body), headers)
            else:
                connection.request(method, path, body, headers)
            response = connection.getresponse()
            answer = json.loads(response.read() or b"{}")
        except (ConnectionError, http.client.HTTPException, TimeoutError) as error:
            raise OwnerGone(
                f"the folio process {self.address.pid} does not answer: {error or type(error).__name__}"
            ) from None
        finally:
            connection.close()
        if response.status >= 400:
            raise Refused(response.status, _sentence(answer), answer.get("cause"))
        return dict(answer)


def _parts(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while part := file.read(BODY_BYTES):
            yield part


def _sentence(answer: dict[str, Any]) -> str:
    detail = answer.get("detail", answer)
    if isinstance(detail, list) and detail:  # what the API's validation says: the first thing that is wrong
        return f"{'.'.join(str(part) for part in detail[0]['loc'][1:])}: {detail[0]['msg']}"
    return str(detail)
