"""The owner's API over the real pipeline (hash embedder, scripted engine), and what the owner does by itself."""

import asyncio
import errno
import json
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from console.api import _room, create_app
from folio import topics
from folio.errors import Cause, FolioError, Transient
from folio.ids import Doc
from folio.log import Record
from folio.questions import Question
from folio.records import Page, Upload
from folio.settings import Settings, load
from infra.intake import Named
from infra.passwords import Passwords
from infra.run import Owner, open_owner
from tests.pages import encrypted_pdf, report_pdf

TOKEN = "a-token"


def settings_for(folder: Path, **more: Any) -> Settings:
    quick: dict[str, Any] = {
        "data": folder,
        "indexer": {"embedder": "hash"},
        "ocr": {"engine": "scripted"},
        "ingest": {"verify_share": 0, "file_bytes_max": 2_000_000},
        "ledger": {"prefix_wait_s": 0.1},
        "retention": {"blob_grace_s": 0},
    }
    return load(environment={}, overrides=quick | more)


@pytest.fixture
async def owner(tmp_path: Path) -> AsyncIterator[Owner]:
    async with open_owner(settings_for(tmp_path / "data")) as opened:
        yield opened


@pytest.fixture
async def api(owner: Owner) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(owner, TOKEN, stop=lambda: None))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://folio", headers=headers) as client:
        yield client


async def put(api: httpx.AsyncClient, path: Path) -> httpx.Response:
    return await api.put("/v1/documents", params={"name": path.name}, content=path.read_bytes())


async def settled(owner: Owner) -> None:
    async with asyncio.timeout(30):
        await asyncio.sleep(0.2)
        while not await owner.idle():
            await asyncio.sleep(0.05)


async def test_a_document_goes_in_and_is_found_with_its_picture(
    api: httpx.AsyncClient, owner: Owner, tmp_path: Path
) -> None:
    pdf = report_pdf(tmp_path / "a.pdf", pages=2, special={2: "The lighthouse was painted white."})
    answer = await put(api, pdf)
    assert (answer.status_code, answer.json()["outcome"]) == (202, "new")
    await settled(owner)
    assert (await put(api, pdf)).status_code == 200, "the same bytes again change nothing"
    hits = (await api.post("/v1/search", json={"question": "white lighthouse", "k": 1})).json()["hits"]
    assert "lighthouse" in hits[0]["text"]
    status = (await api.get("/v1/documents/status", params={"document": "a.pdf"})).json()
    assert [page["source"] for page in status["pages"]] == ["text_layer", "text_layer"]
    picture = await api.get("/v1/documents/picture", params={"document": "a.pdf", "page": 2})
    assert picture.content.startswith(b"\xff\xd8")


async def test_pages_that_a_producer_appends_are_searchable_and_keep_their_pictures(
    api: httpx.AsyncClient, owner: Owner
) -> None:
    page = Page(doc="default/camera", version=1, page=1, page_count=1)
    image = b"folio:# Dock\n\nThe red crane stands still."
    await owner.parts.log.append(topics.PAGES, [Record("default/camera/1", image, page.headers())])
    await settled(owner)
    hits = (await api.post("/v1/search", json={"question": "red crane", "k": 1})).json()["hits"]
    assert (hits[0]["document"], hits[0]["pages"], hits[0]["headings"]) == ("camera", [1], ["Dock"])
    assert (await api.get("/v1/documents/picture", params={"document": "camera", "page": 1})).content == image


async def test_a_page_that_cannot_be_read_is_a_gap_that_status_and_hits_name(
    api: httpx.AsyncClient, owner: Owner
) -> None:
    images = [b"folio:The first page tells of whales.", b"folio!ocr_loop", b"folio:The third page tells of whales too."]
    for number, image in enumerate(images, start=1):
        page = Page(doc="default/gap", version=1, page=number, page_count=3)
        await owner.parts.log.append(topics.PAGES, [Record(f"default/gap/{number}", image, page.headers())])
    await settled(owner)
    status = (await api.get("/v1/documents/status", params={"document": "gap"})).json()
    assert (status["state"], status["pages"][1]["cause"]) == ("searchable with gaps", "ocr_loop")
    hits = (await api.post("/v1/search", json={"question": "whales"})).json()["hits"]
    assert any("gap:2:ocr_loop" in hit["flags"] for hit in hits)


async def test_what_is_deleted_leaves_the_index_and_its_bytes_are_swept(
    api: httpx.AsyncClient, owner: Owner, tmp_path: Path
) -> None:
    await put(api, report_pdf(tmp_path / "a.pdf", pages=1))
    await settled(owner)
    assert (await api.delete("/v1/documents", params={"document": "a.pdf"})).status_code == 202
    await settled(owner)
    assert (await api.post("/v1/search", json={"question": "report"})).json()["hits"] == []
    await owner.housekeep()
    assert [blob async for blob in owner.parts.blobs.list()] == []
    picture = await api.get("/v1/documents/picture", params={"document": "a.pdf", "page": 1})
    assert picture.status_code == 410


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/v1/documents/status?document=nothing", None, 404),
        ("DELETE", "/v1/documents?document=nothing", None, 404),
        ("POST", "/v1/search", {"question": ""}, 422),
        ("POST", "/v1/search", {"question": "x", "k": 1000}, 422),
        ("POST", "/v1/search", {"question": "x", "kk": 3}, 422),
        ("GET", "/v1/documents/picture?document=nothing&page=0", None, 422),
        ("GET", "/v1/documents/picture?document=nothing&page=1", None, 404),
        ("GET", "/v1/nothing", None, 404),
    ],
)
async def test_wrong_requests_get_a_sentence(
    api: httpx.AsyncClient, method: str, path: str, body: object, status: int
) -> None:
    answer = await api.request(method, path, json=body)
    assert answer.status_code == status
    assert answer.json()["detail"]


async def test_too_large_a_body_is_refused_and_leaves_nothing(api: httpx.AsyncClient, owner: Owner) -> None:
    answer = await api.put("/v1/documents", params={"name": "big.pdf"}, content=b"x" * 2_000_001)
    assert (answer.status_code, answer.json()["cause"]) == (413, "too_large")
    assert list(owner.settings.data.glob("incoming-*")) == []
    assert (await api.get("/v1/documents")).json()["documents"] == []


async def test_without_the_token_only_health_answers(api: httpx.AsyncClient) -> None:
    for path in ("/v1/documents", "/v1/stages"):
        assert (await api.get(path, headers={"Authorization": "Bearer wrong"})).status_code == 401
    assert (await api.get("/healthz", headers={"Authorization": ""})).json() == {"status": "ok"}
    assert b"folio_stage_entries_total" in (await api.get("/metrics")).content
    assert (await api.get("/readyz")).status_code == 200


async def test_a_cancelled_document_says_so(api: httpx.AsyncClient, owner: Owner) -> None:
    for number, image in ((1, b"folio:Some words."), (2, b"folio!hang")):
        page = Page(doc="default/slow", version=1, page=number, page_count=3)
        await owner.parts.log.append(topics.PAGES, [Record(f"default/slow/{number}", image, page.headers())])
    async with asyncio.timeout(20):
        while (await api.get("/v1/documents/status", params={"document": "slow"})).status_code != 200:
            await asyncio.sleep(0.05)
    assert (await api.post("/v1/documents/cancel", params={"document": "slow"})).status_code == 202
    await settled(owner)
    status = (await api.get("/v1/documents/status", params={"document": "slow"})).json()
    assert status["state"] == "cancelled"


async def test_names_are_the_shortest_free_end_of_the_path(owner: Owner, tmp_path: Path) -> None:
    names = []
    for folder in ("x", "y", "y"):
        (tmp_path / folder).mkdir(exist_ok=True)
        path = report_pdf(tmp_path / folder / "a.pdf", pages=1, seed=len(names))
        done = await owner.intake.put(path, Named(name="a.pdf", uri=path.as_uri()))
        names.append((done.document, done.outcome))
    assert names == [("a.pdf", "new"), ("y/a.pdf", "new"), ("y/a.pdf", "changed")]


async def test_the_memory_store_runs_the_same_pipeline(tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "data", indexer={"embedder": "hash", "store": "memory"})
    async with open_owner(settings) as owner:
        await owner.intake.put(report_pdf(tmp_path / "a.pdf", pages=1), Named(name="a.pdf"))
        await settled(owner)
        assert (await owner.search(Question(question="report")))[0].document == "a.pdf"


async def test_state_that_cannot_be_kept_is_said_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FolioError, match="another --data"):
        async with open_owner(settings_for(tmp_path / "file")):
            pass


async def test_pages_and_content_are_what_was_read(api: httpx.AsyncClient, owner: Owner, tmp_path: Path) -> None:
    await put(api, report_pdf(tmp_path / "a.pdf", pages=3, special={2: "The lighthouse was painted white."}))
    await settled(owner)
    page = (await api.get("/v1/documents/page", params={"document": "a.pdf", "page": 2})).json()
    assert "lighthouse" in page["markdown"]
    assert page["blocks"][0]["box"]
    head, *pages = [json.loads(line) for line in (await content(api, "a.pdf")).text.splitlines()]
    assert (head["doc"], head["complete"], head["pages"]) == ("default/a.pdf", True, [])
    assert [one["page"] for one in pages] == [1, 2, 3]
    assert pages[1]["markdown"] == page["markdown"]


async def content(api: httpx.AsyncClient, document: str) -> httpx.Response:
    return await api.get("/v1/documents/content", params={"document": document})


async def test_pictures_are_marked_and_cut(api: httpx.AsyncClient, owner: Owner, tmp_path: Path) -> None:
    await put(api, report_pdf(tmp_path / "a.pdf", pages=1))
    await settled(owner)

    async def size(**more: Any) -> tuple[int, int]:
        answer = await api.get("/v1/documents/picture", params={"document": "a.pdf", "page": 1, **more})
        assert answer.status_code == 200, answer.text
        with Image.open(BytesIO(answer.content)) as picture:
            return picture.size

    width, height = await size()
    assert await size(boxes=True, mark=["0.1,0.1,0.2,0.2:hit 1", "0.5,0.5,0.6,0.6"]) == (width, height)
    wide = await size(crop="0,0,1,0.25")
    assert wide[0] / wide[1] == pytest.approx(4 * width / height, rel=0.02)


async def test_an_image_that_was_read_is_marked_and_cut_too(api: httpx.AsyncClient, owner: Owner) -> None:
    noise = BytesIO()
    Image.effect_noise((400, 200), 90).save(noise, "JPEG")
    page = Page(doc="default/camera", version=1, page=1, page_count=1)
    await owner.parts.log.append(topics.PAGES, [Record("default/camera/1", noise.getvalue(), page.headers())])
    await settled(owner)
    asked = {"document": "camera", "page": 1, "crop": "0,0,0.5,1", "mark": "0,0,1,1"}
    answer = await api.get("/v1/documents/picture", params=asked)
    assert answer.status_code == 200, answer.text
    with Image.open(BytesIO(answer.content)) as picture:
        assert picture.width == pytest.approx(picture.height, rel=0.02)


WRONG = [
    ("/v1/documents/page?document=nothing&page=1", 404),
    ("/v1/documents/page?document=nothing&page=0", 422),
    ("/v1/documents/content?document=nothing", 404),
    ("/v1/documents/picture?document=nothing&page=1&crop=0,0,1", 422),
    ("/v1/documents/picture?document=nothing&page=1&crop=0,0,2,2", 422),
    ("/v1/documents/picture?document=nothing&page=1&mark=a,b,c,d", 422),
    ("/v1/documents/picture?document=nothing&page=1&box=1", 422),
]
REFUSED = [{"pages": "3-1"}, {"metadata": "[1]"}, {"metadata": '{"a": {}}'}, {"metadata": "{"}, {"page": "1"}]


SENTENCES = [
    ("GET", "/v1/documents/picture?document=a&page=1&crop=0,0,1", None, "crop '0,0,1': left,top,right,bottom"),
    ("GET", "/v1/documents/picture?document=a&page=1&mark=x:y", None, "mark 'x': left,top,right,bottom"),
    ("GET", "/v1/documents/page?document=a&page=zz", None, "page 'zz': "),
    ("GET", "/v1/documents/page?page=1", None, "document: it is missing"),
    ("GET", "/v1/documents/page?documnt=a&page=1", None, "did you mean document?"),
    ("GET", "/v1/documents?limit=1", None, "limit: there is no such parameter"),
    ("GET", "/v1/documents/status?document=a&page=1", None, "page: there is no such parameter"),
    ("GET", "/v1/nothing", None, "Not Found"),
    ("PUT", "/v1/documents?name=a.txt&metadata=zz", b"text", "metadata 'zz': a JSON object is wanted"),
    ("PUT", "/v1/documents?name=a.txt&metdata=1", b"text", "did you mean metadata?"),
    ("POST", "/v1/search", b'{"question": "a", "filters": {"dokuments": ["a"]}}', "did you mean documents?"),
    ("POST", "/v1/search", b'{"question": "a", "neighbors": 1}', "neighbors: there is no such field: did you mean nei"),
    ("POST", "/v1/search", b'{"question": "a", "k": 0}', "k 0: should be greater than or equal to 1"),
    ("POST", "/v1/search", b'{"question": ', "body: it is no JSON"),
    ("POST", "/v1/search", b"", "body: it is no JSON object"),
    ("POST", "/v1/search", b'{"k": 1}', "question: it is missing"),
]


async def test_every_refusal_is_one_sentence_that_names_what_is_wrong(api: httpx.AsyncClient) -> None:
    for method, path, body, said in SENTENCES:
        answer = await api.request(method, path, content=body)
        assert answer.status_code in (404, 422), path
        assert set(answer.json()) == {"detail", "cause"}, path
        assert said in answer.json()["detail"], (path, answer.json())
        assert "pydantic" not in answer.text
    refused = await api.get("/v1/documents", headers={"Authorization": "Bearer wrong"})
    assert (refused.status_code, set(refused.json())) == (401, {"detail", "cause"})


async def test_a_body_is_json_whatever_it_says_it_is(api: httpx.AsyncClient) -> None:
    for headers in ({}, {"Content-Type": "application/x-www-form-urlencoded"}, {"Content-Type": "application/json"}):
        answer = await api.post("/v1/search", content=b'{"question": "whales"}', headers=headers)
        assert (answer.status_code, answer.json()["hits"]) == (200, []), headers


async def test_wrong_requests_for_pages_and_puts_get_a_sentence(api: httpx.AsyncClient) -> None:
    for path, status in WRONG:
        answer = await api.get(path)
        assert (answer.status_code, bool(answer.json()["detail"])) == (status, True), path
    for more in REFUSED:
        answer = await api.put("/v1/documents", params={"name": "a.txt", **more}, content=b"text")
        assert (answer.status_code in (400, 422), bool(answer.json()["detail"])) == (True, True), more
    assert (await api.get("/v1/documents")).json()["documents"] == []


async def test_other_pages_or_metadata_are_a_new_version_and_survive_a_cancellation(
    api: httpx.AsyncClient, owner: Owner, tmp_path: Path
) -> None:
    pdf = report_pdf(tmp_path / "a.pdf", pages=4)

    async def outcome(**more: str) -> str:
        answer = await api.put("/v1/documents", params={"name": "a.pdf", **more}, content=pdf.read_bytes())
        await settled(owner)
        return str(answer.json()["outcome"])

    given = {"pages": "2-3", "metadata": '{"year": 2024, "paid": true}'}
    assert [await outcome(**given), await outcome(**given)] == ["new", "unchanged"]
    await owner.intake.cancel("a.pdf")
    await settled(owner)
    known = (await api.get("/v1/documents/status", params={"document": "a.pdf"})).json()
    assert (known["page_range"], known["metadata"]) == ("2-3", {"year": 2024, "paid": True})
    assert (known["pages_ok"], known["pages_skipped"]) == (2, 2)
    assert await outcome() == "changed"


async def test_a_password_is_forgotten_when_the_document_has_been_read(
    api: httpx.AsyncClient, owner: Owner, tmp_path: Path
) -> None:
    sealed = encrypted_pdf(tmp_path / "a.pdf").read_bytes()
    headers = {"Folio-Password": "secret"}
    await api.put("/v1/documents", params={"name": "a.pdf"}, content=sealed, headers=headers)
    assert owner.parts.passwords
    await settled(owner)
    async with asyncio.timeout(10):
        while owner.parts.passwords:
            await asyncio.sleep(0.05)
    assert (await api.get("/v1/documents/page", params={"document": "a.pdf", "page": 1})).status_code == 200
    asked = {"document": "a.pdf", "page": 1}
    sealed_picture = (await api.get("/v1/documents/picture", params=asked)).json()
    assert sealed_picture["cause"] == "encrypted"
    assert "in the header Folio-Password" in sealed_picture["detail"]
    drawn = await api.get("/v1/documents/picture", params=asked, headers=headers)
    assert drawn.content.startswith(b"\xff\xd8")


async def test_a_password_is_kept_until_its_own_version_was_read(tmp_path: Path) -> None:
    passwords = Passwords()
    upload = Upload(doc=Doc("default/a"), sha256="aa")
    passwords.remember(upload.doc, upload.sha256, "")
    assert not passwords
    passwords.remember(upload.doc, upload.sha256, "secret")
    passwords.forget_read(tmp_path / "no-ledger")
    assert passwords.of(upload) == "secret"
    assert passwords.of(upload.model_copy(update={"sha256": "bb"})) == "", "other bytes have another password"
    passwords.forget(upload.doc, upload.sha256)
    assert not passwords


async def test_numbers_and_values_that_no_store_can_hold_are_refused_in_a_sentence(
    api: httpx.AsyncClient, tmp_path: Path
) -> None:
    huge = "9" * 30
    for path in ("/v1/documents/page", "/v1/documents/picture"):
        refused = await api.get(path, params={"document": "a.pdf", "page": huge})
        assert (refused.status_code, "page" in refused.json()["detail"]) == (422, True)
    for filters in (
        {"page_first": int(huge)},
        {"since_ms": int(huge)},
        {"page_first": 3, "page_last": 2},
        {"since_ms": 2, "until_ms": 1},
    ):
        refused = await api.post("/v1/search", json={"question": "whales", "filters": filters})
        assert refused.status_code == 422, filters
        assert refused.json()["detail"]
    huge, deep = f'{{"a": {"1" * 400}}}', "[" * 3000
    for metadata in ('{"a": NaN}', '{"a": 1e999}', '{"a": null}', '{"": 1}', huge, deep):
        refused = await api.put("/v1/documents", params={"name": "a.txt", "metadata": metadata}, content=b"words")
        assert (refused.status_code, "metadata" in refused.json()["detail"]) == (422, True), metadata


def test_a_disk_without_room_is_not_the_files_fault() -> None:
    with pytest.raises(Transient) as refused, _room():
        raise OSError(errno.ENOSPC, "No space left on device")
    assert refused.value.cause == Cause.DISK_FULL
    with pytest.raises(OSError, match="else"), _room():
        raise OSError(errno.EIO, "something else")
