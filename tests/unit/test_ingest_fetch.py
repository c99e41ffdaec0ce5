"""Files by address: what is fetched, what is refused, and that no way round leads where the settings do not allow."""

import asyncio
import errno
import io
import ipaddress
import os
import socket
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from folio.errors import Cause, Permanent, SettingsError, Transient
from folio.ids import Doc, sha256
from folio.log import Entry, Position, Record
from folio.outputs import Output
from folio.records import Upload
from folio.stage import Stage
from folio.topics import TEXTS, UPLOADS
from infra.folder_blobs import FolderBlobs
from ingest import fetch
from ingest.announced import announcing
from ingest.fetch import Allowed, Fetcher, _write
from ledger.arrivals import arrival

BODY = b"%PDF-1.7 what lies there " * 1000
DOC = Doc("default/far.pdf")


class Answers(BaseHTTPRequestHandler):
    """A server with every kind of answer, by path."""

    asked: list[str]
    failing = 0

    def do_GET(self) -> None:
        type(self).asked.append(self.path)
        path = self.path.partition("?")[0]
        if path.startswith("/files/redirect-out"):
            self._redirect("/secret/passwords")
        elif path.startswith("/files/redirect-in"):
            self._redirect("/files/report.pdf")
        elif path.startswith("/files/redirect-loop"):
            self._redirect("/files/redirect-loop")
        elif path.startswith("/files/redirect-metadata"):
            self._redirect("http://169.254.169.254/latest/meta-data")
        elif path.startswith("/files/redirect-file"):
            self._redirect("file:///etc/passwd")
        elif path.startswith("/files/missing"):
            self.send_error(404)
        elif path.startswith("/files/weak") and type(self).failing > 0:
            type(self).failing -= 1
            self.send_error(503)
        elif path.startswith("/files/endless"):
            self._endless()
        elif path.startswith("/files/dripping"):
            self._drip()
        elif path.startswith("/files/short"):
            self._send(BODY, said=len(BODY) + 10)
        else:
            self._send(BODY)

    def _send(self, body: bytes, said: int | None = None) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(said or len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _redirect(self, to: str) -> None:
        self.send_response(302)
        self.send_header("Location", to)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        with self._gone():
            while True:
                self.wfile.write(bytes(1 << 16))

    def _drip(self) -> None:
        with self._gone():
            for letter in "HTTP/1.1 200 OK\r\nX-A: " + "a" * 10_000:
                self.wfile.write(letter.encode())
                time.sleep(0.02)

    @contextmanager
    def _gone(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served() -> Iterator[str]:
    """http://127.0.0.1:port"""
    Answers.asked, Answers.failing = [], 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def fetcher(tmp_path: Path, *allow: str, **more: object) -> Fetcher:
    facts: dict = {"bytes_max": 1 << 20, "folder": tmp_path, "seconds_max": 60.0}
    return Fetcher(allowed=Allowed(allow), **(facts | more))


async def got(of: Fetcher, address: str) -> bytes:
    async with of.fetched(address) as path:
        return path.read_bytes()


async def refused(of: Fetcher, address: str) -> Permanent:
    with pytest.raises(Permanent) as caught:
        await got(of, address)
    return caught.value


async def test_what_is_allowed_is_fetched_and_leaves_nothing_behind(served: str, tmp_path: Path) -> None:
    of = fetcher(tmp_path, f"{served}/files/")
    assert await got(of, f"{served}/files/report.pdf?signature=abc") == BODY
    assert await got(of, f"{served}/files/redirect-in") == BODY
    assert Answers.asked[0] == "/files/report.pdf?signature=abc"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "path",
    [
        "/secret/passwords",
        "/filesystem/report.pdf",
        "/files/../secret/passwords",
        "/files/%2e%2e/secret/passwords",
        "/files/%252e%252e/secret/passwords",
        "/files/..%2fsecret",
        "/files/./x",
    ],
)
async def test_what_is_not_below_the_list_is_never_asked_for(served: str, tmp_path: Path, path: str) -> None:
    error = await refused(fetcher(tmp_path, f"{served}/files/"), served + path)
    assert error.cause is Cause.POLICY_DENIED
    assert Answers.asked == []


@pytest.mark.parametrize("kind", ["out", "metadata", "file"])
async def test_no_redirect_leads_out_of_the_list(served: str, tmp_path: Path, kind: str) -> None:
    error = await refused(fetcher(tmp_path, f"{served}/files/"), f"{served}/files/redirect-{kind}")
    assert error.cause is Cause.POLICY_DENIED
    assert Answers.asked == [f"/files/redirect-{kind}"]


async def test_what_does_not_come_is_fetch_failed(served: str, tmp_path: Path) -> None:
    of = fetcher(tmp_path, f"{served}/files/")
    assert (await refused(of, f"{served}/files/missing")).cause is Cause.FETCH_FAILED
    assert (await refused(of, f"{served}/files/redirect-loop")).cause is Cause.FETCH_FAILED
    assert (await refused(of, f"{served}/files/short")).cause is Cause.FETCH_FAILED
    closed = socket.create_server(("127.0.0.1", 0))
    port = closed.getsockname()[1]
    closed.close()
    error = await refused(fetcher(tmp_path, f"http://127.0.0.1:{port}/"), f"http://127.0.0.1:{port}/a")
    assert error.cause is Cause.FETCH_FAILED


async def test_a_server_that_recovers_is_asked_again(served: str, tmp_path: Path) -> None:
    Answers.failing = 2
    assert await got(fetcher(tmp_path, f"{served}/files/"), f"{served}/files/weak") == BODY


@pytest.mark.parametrize("scheme", ["file", "http"])
async def test_a_full_disk_of_ours_is_waited_for(
    served: str, scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: object, part: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("ingest.fetch._write", full)
    (tmp_path / "a.pdf").write_bytes(BODY)
    place = tmp_path.as_uri() if scheme == "file" else f"{served}/files"
    name = "a.pdf" if scheme == "file" else "report.pdf"
    with pytest.raises(Transient) as raised:
        await got(fetcher(tmp_path, f"{place}/"), f"{place}/{name}")
    assert raised.value.cause is Cause.DISK_FULL


def test_a_file_that_takes_a_little_at_a_time_gets_all_of_it() -> None:
    class Little(io.BytesIO):
        def write(self, part: object) -> int:
            return super().write(memoryview(part)[:3])

    file = Little()
    _write(file, BODY)
    assert file.getvalue() == BODY


async def test_neither_size_nor_time_is_without_end(served: str, tmp_path: Path) -> None:
    of = fetcher(tmp_path, f"{served}/files/", bytes_max=100_000)
    assert (await refused(of, f"{served}/files/endless")).cause is Cause.TOO_LARGE
    of = fetcher(tmp_path, f"{served}/files/", bytes_max=100)
    assert (await refused(of, f"{served}/files/report.pdf")).cause is Cause.TOO_LARGE
    began = time.monotonic()
    of = fetcher(tmp_path, f"{served}/files/", seconds_max=0.5)
    assert (await refused(of, f"{served}/files/dripping")).cause is Cause.FETCH_FAILED
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "169.254.169.254", "::1", "fd00::1", "::ffff:10.0.0.1"])
async def test_a_name_that_leads_to_a_private_address_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    answer = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, 80))]
    monkeypatch.setattr(fetch.socket, "getaddrinfo", lambda *_, **__: answer)
    error = await refused(fetcher(tmp_path, "http://files.example.org/"), "http://files.example.org/a.pdf")
    assert (error.cause, "no network with it" in error.detail) == (Cause.POLICY_DENIED, True)


def test_only_listed_networks_make_private_addresses_allowed() -> None:
    allowed = Allowed(["http://files.internal/", "10.0.0.0/8", "fd00::/8"])
    leads = {
        text: allowed.leads("files.internal", ipaddress.ip_address(text))
        for text in (
            "10.1.2.3",
            "192.168.0.1",
            "127.0.0.1",
            "fd00::5",
            "fe80::1",
            "8.8.8.8",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::1",
        )
    }
    assert [text for text, may in leads.items() if may] == ["10.1.2.3", "fd00::5", "8.8.8.8"]


async def test_a_name_in_the_networks_is_connected_to_where_it_was_looked_up(
    served: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(served.rpartition(":")[2])
    lookups = []

    def look_up(host: str, port: int, *_: object, **__: object) -> list:
        lookups.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))]

    monkeypatch.setattr(fetch.socket, "getaddrinfo", look_up)
    of = fetcher(tmp_path, f"http://files.internal:{port}/files", "127.0.0.0/8")
    assert await got(of, f"http://files.internal:{port}/files/a") == BODY
    assert lookups == ["files.internal", "127.0.0.1"]


@pytest.mark.parametrize(
    "address",
    [
        "report.pdf",
        "http://user:word@host/",
        "http://host/a b",
        "http://host:99999/",
        "http://hóst/",
        "http://h\\x/",
        "",
    ],
)
async def test_what_is_no_address_is_schema_invalid(tmp_path: Path, address: str) -> None:
    assert (await refused(fetcher(tmp_path, "http://host/"), address)).cause is Cause.SCHEMA_INVALID


@pytest.mark.parametrize("listed", ["files.example.org", "ftp://host/", "http:///", "http://host/../", "http://u@h/"])
def test_a_list_that_means_nothing_is_refused_at_the_start(listed: str) -> None:
    with pytest.raises(SettingsError, match="fetch_allow"):
        Allowed([listed])


async def test_files_only_below_a_listed_folder_also_through_links(tmp_path: Path) -> None:
    scans, secret = tmp_path / "scans", tmp_path / "secret.pdf"
    scans.mkdir()
    (scans / "a b.pdf").write_bytes(BODY)
    secret.write_bytes(b"secret")
    (scans / "link.pdf").symlink_to(secret)
    of = fetcher(tmp_path, scans.as_uri())
    assert await got(of, (scans / "a b.pdf").as_uri()) == BODY
    assert (await refused(of, secret.as_uri())).cause is Cause.POLICY_DENIED
    assert (await refused(of, (scans / "link.pdf").as_uri())).cause is Cause.POLICY_DENIED
    assert (await refused(of, (scans / "none.pdf").as_uri())).cause is Cause.FETCH_FAILED
    os.mkfifo(scans / "pipe")
    assert (await refused(of, (scans / "pipe").as_uri())).cause is Cause.FETCH_FAILED
    assert (await refused(fetcher(tmp_path, "http://host/"), secret.as_uri())).cause is Cause.POLICY_DENIED


# The stage. ------------------------------------------------------------------------------------------------


def entry(upload: Upload) -> Entry:
    return Entry(Position("uploads", 0, 5), upload.doc, upload.encode(), {}, appended_ms=1000)


async def read(upload: Upload, of: Fetcher | None, blobs: FolderBlobs) -> list[Output]:
    async def process(entry: Entry) -> AsyncGenerator[Output, None]:
        there = Upload.decode(entry.value)
        if not there.deleted:
            yield TEXTS, Record(there.doc, await blobs.get(there.sha256))

    stage = announcing(Stage(name="ingest", sources=(UPLOADS,), process=process), of, blobs)
    return [output async for output in stage.process(entry(upload))]


async def test_an_announcement_is_answered_by_an_upload_that_says_what_its_bytes_are(
    served: str, tmp_path: Path
) -> None:
    blobs, of = FolderBlobs(tmp_path / "blobs"), fetcher(tmp_path, f"{served}/files/")
    asked = Upload(doc=DOC, fetch=f"{served}/files/far%20away.pdf?token=secret", metadata={"year": 2024}, pages="1-2")
    [(topic, record)] = await read(asked, of, blobs)
    answer = Upload.decode(record.value)
    assert (topic, record.key, answer.sha256, answer.fetch) == (UPLOADS, DOC, sha256(BODY), "")
    assert (answer.name, answer.metadata, answer.pages) == ("far away.pdf", {"year": 2024}, "1-2")
    assert (answer.uri, "secret" in record.value.decode()) == (f"{served}/files/far%20away.pdf", False)
    later = Entry(Position("uploads", 0, 9), DOC, record.value, {}, appended_ms=2000)
    assert answer.version_in(later) == asked.version_in(entry(asked)), "what was said of it meanwhile is newer"
    [(topic, text)] = await read(answer, of, blobs)
    assert (topic, text.value) == (TEXTS, BODY)


async def test_an_announcement_with_its_sha256_is_read_at_once_and_fetched_once(served: str, tmp_path: Path) -> None:
    blobs, of = FolderBlobs(tmp_path / "blobs"), fetcher(tmp_path, f"{served}/files/")
    asked = Upload(doc=DOC, fetch=f"{served}/files/a.pdf", sha256=sha256(BODY))
    for _ in range(2):
        [(topic, text)] = await read(asked, of, blobs)
        assert (topic, text.value) == (TEXTS, BODY)
    assert len(Answers.asked) == 1
    with pytest.raises(Permanent, match="sha256 names"):
        await read(asked.model_copy(update={"sha256": "0" * 64}), of, blobs)


async def test_nothing_is_fetched_where_nothing_is_allowed(tmp_path: Path) -> None:
    with pytest.raises(Permanent) as caught:
        await read(Upload(doc=DOC, fetch="http://127.0.0.1/a"), None, FolderBlobs(tmp_path / "blobs"))
    assert caught.value.cause is Cause.POLICY_DENIED


@pytest.mark.parametrize(
    "upload", [Upload(doc=DOC), Upload(doc=DOC, sha256="../../etc"), Upload(doc=Doc("BAD TENANT/x"), sha256="0" * 64)]
)
async def test_a_record_that_names_no_bytes_is_schema_invalid(tmp_path: Path, upload: Upload) -> None:
    with pytest.raises(Permanent) as caught:
        await read(upload, None, FolderBlobs(tmp_path / "blobs"))
    assert caught.value.cause is Cause.SCHEMA_INVALID


async def test_a_key_that_is_not_its_doc_is_refused_before_anything_is_fetched(served: str, tmp_path: Path) -> None:
    asked, blobs = Upload(doc=DOC, fetch=f"{served}/files/a.pdf"), FolderBlobs(tmp_path / "blobs")
    stage = announcing(
        Stage(name="ingest", sources=(UPLOADS,), process=None), fetcher(tmp_path, f"{served}/files/"), blobs
    )
    wrong = Entry(Position("uploads", 0, 5), "default/other", asked.encode(), {}, appended_ms=1000)
    for takes in (lambda: anext(stage.process(wrong)), lambda: asyncio.to_thread(arrival, wrong)):
        with pytest.raises(Permanent, match="key") as caught:
            await takes()
        assert caught.value.cause is Cause.SCHEMA_INVALID
    assert Answers.asked == []


async def test_a_deletion_needs_no_bytes(tmp_path: Path) -> None:
    assert await read(Upload(doc=DOC, deleted=True), None, FolderBlobs(tmp_path / "blobs")) == []


async def test_an_object_from_s3_or_the_like(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Store(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            there = self.path == "/scans/in/a.pdf"
            self.send_response(200 if there else 404)
            self.send_header("Content-Length", str(len(BODY) if there else 0))
            self.send_header("ETag", '"1"')
            self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
            self.end_headers()
            self.wfile.write(BODY if there else b"")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Store)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name, value in {
        "AWS_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "here",
        "AWS_SKIP_SIGNATURE": "true",
    }.items():
        monkeypatch.setenv(name, value)
    of = fetcher(tmp_path, "s3://scans/in/")
    try:
        assert await got(of, "s3://scans/in/a.pdf") == BODY
        assert (await refused(of, "s3://scans/in/none.pdf")).cause is Cause.FETCH_FAILED
        assert (await refused(of, "s3://scans/out/a.pdf")).cause is Cause.POLICY_DENIED
        assert (await refused(fetcher(tmp_path, "s3://scans/", bytes_max=10), "s3://scans/in/a.pdf")).cause is (
            Cause.TOO_LARGE
        )
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
