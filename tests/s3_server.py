"""A small object store that speaks S3 over HTTP: put, get, head, delete, list and uploads in parts, kept in memory."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import gmtime, strftime, time
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

KEY, SECRET, BUCKET = "desk", "desk-secret", "pages"


class Objects(ThreadingHTTPServer):
    """`objects` by key: bytes and when they were put. `down`: every request is answered with 503."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.objects: dict[str, tuple[bytes, float]] = {}
        self.parts: dict[str, dict[int, bytes]] = {}
        self.requests: list[str] = []
        self.down = False

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.server_port}",
            "AWS_REGION": "us-east-1",
        }


class Request(BaseHTTPRequestHandler):
    server: Objects
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        body = self._body()
        if not self._let_in():
            return
        if "partNumber" in self.asked:
            self.server.parts[self.asked["uploadId"]][int(self.asked["partNumber"])] = body
        elif self.headers.get("If-None-Match") == "*" and self.key in self.server.objects:
            self._answer(412)
            return
        else:
            self.server.objects[self.key] = (body, time())
        self._answer(200, headers={"ETag": f'"{md5(body).hexdigest()}"'})

    def do_POST(self) -> None:
        body = self._body()
        if not self._let_in():
            return
        if "uploads" in self.asked:
            upload = f"upload-{len(self.server.parts)}"
            self.server.parts[upload] = {}
            self._answer(
                200, f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
            )
        elif "delete" in self.asked:
            names = [name.decode() for name in re.findall(rb"<Key>([^<]+)</Key>", body)]
            for name in names:
                self.server.objects.pop(name, None)
            rows = "".join(f"<Deleted><Key>{escape(name)}</Key></Deleted>" for name in names)
            self._answer(200, f"<DeleteResult>{rows}</DeleteResult>")
        else:
            parts = self.server.parts.pop(self.asked["uploadId"])
            wanted = [int(number) for number in re.findall(rb"<PartNumber>(\d+)<", body)]
            self.server.objects[self.key] = (b"".join(parts[number] for number in wanted), time())
            self._answer(200, '<CompleteMultipartUploadResult><ETag>"whole"</ETag></CompleteMultipartUploadResult>')

    def do_GET(self) -> None:
        if not self._let_in():
            return
        if self.key:
            self._give(with_body=True)
            return
        names = sorted(name for name in self.server.objects if name.startswith(self.asked.get("prefix", "")))
        rows = "".join(map(self._row, names))
        self._answer(200, f"<ListBucketResult><IsTruncated>false</IsTruncated>{rows}</ListBucketResult>")

    def do_HEAD(self) -> None:
        if self._let_in():
            self._give(with_body=False)

    def do_DELETE(self) -> None:
        if self._let_in():
            self.server.objects.pop(self.key, None)
            self._answer(204)

    @property
    def asked(self) -> dict[str, str]:
        return {name: value[0] for name, value in parse_qs(urlsplit(self.path).query, keep_blank_values=True).items()}

    @property
    def key(self) -> str:
        return unquote(urlsplit(self.path).path).removeprefix(f"/{BUCKET}").removeprefix("/")

    def _let_in(self) -> bool:
        self.server.requests.append(f"{self.command} {self.path}")
        if self.server.down:
            self._answer(503, "<Error><Code>SlowDown</Code></Error>")
        elif f"Credential={KEY}/" not in self.headers.get("Authorization", ""):
            self._answer(403, "<Error><Code>InvalidAccessKeyId</Code></Error>")
        elif not urlsplit(self.path).path.startswith(f"/{BUCKET}"):
            self._answer(404, "<Error><Code>NoSuchBucket</Code></Error>")
        else:
            return True
        return False

    def _give(self, *, with_body: bool) -> None:
        if self.key not in self.server.objects:
            self._answer(404, "<Error><Code>NoSuchKey</Code></Error>")
            return
        body, put_s = self.server.objects[self.key]
        headers = {"Last-Modified": formatdate(put_s, usegmt=True), "ETag": f'"{md5(body).hexdigest()}"'}
        self._answer(200, body if with_body else b"", headers={"Content-Length": str(len(body)), **headers})

    def _row(self, name: str) -> str:
        body, put_s = self.server.objects[name]
        when = strftime("%Y-%m-%dT%H:%M:%S.000Z", gmtime(put_s))
        facts = f"<LastModified>{when}</LastModified><ETag>x</ETag><Size>{len(body)}</Size>"
        return f"<Contents><Key>{escape(name)}</Key>{facts}</Contents>"

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, status: int, body: str | bytes = b"", *, headers: dict[str, str] | None = None) -> None:
        content = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(content))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        return


@contextmanager
def s3_server() -> Iterator[Objects]:
    with Objects() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
