"""What producers are promised, on a real broker: each example as it stands sends something that is then found."""

import asyncio
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from confluent_kafka import Producer as ConfluentProducer

from folio.client import NotSent, Producer, SyncProducer
from folio.ids import Doc, page_key
from folio.questions import Question
from folio.records import Page
from folio.settings import load
from infra.dead import Which
from infra.run import Owner, open_owner
from ledger import audit
from tests.logs import kafka_log
from tests.pages import report_pdf
from tests.unit.test_folio_client import picture

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "producers"
SETTLED_S = 180

pytestmark = pytest.mark.timeout(600)


@dataclass
class Site:
    """A folio over a broker, the broker's address and the prefix of its topics, and a folder to fetch from."""

    owner: Owner
    servers: str
    prefix: str
    files: Path

    @property
    def log(self) -> str:
        return f"kafka://{self.servers}"

    async def pages_of(self, document: str, count: int) -> list[str]:
        """Their text, once they are all searchable."""
        doc = Doc(f"default/{document}")
        async with asyncio.timeout(SETTLED_S):
            while True:
                known = audit.summary(self.owner.ledger_file, doc)
                if known is not None and known.state == "searchable" and known.pages_searchable == count:
                    break
                await asyncio.sleep(0.1)
        texts = [(await self.owner.page(document, page)).markdown for page in range(1, count + 1)]
        for text in texts:
            hits = await self.owner.search(Question(question=" ".join(text.split()[:12]), mode="lexical", k=5))
            assert document in {hit.document for hit in hits}
        return texts


@pytest.fixture
async def site(kafka: str, tmp_path: Path) -> AsyncIterator[Site]:
    prefix, files = f"producers-{uuid.uuid4().hex[:10]}.", tmp_path / "files"
    files.mkdir()
    settings = load(
        environment={},
        overrides={
            "data": tmp_path / "data",
            "kafka": {"servers": kafka, "prefix": prefix, "session_timeout_s": 30},
            "indexer": {"embedder": "hash"},
            "ocr": {"engine": "scripted"},
            "ingest": {"verify_share": 0, "fetch_allow": [files.as_uri()]},
            "ledger": {"prefix_wait_s": 0.2},
        },
    )
    async with kafka_log(kafka, prefix), open_owner(settings) as owner:
        yield Site(owner, kafka, prefix, files)


def images(folder: Path, *shades: int) -> list[str]:
    paths = [folder / f"{shade}.png" for shade in shades]
    for path, shade in zip(paths, shades, strict=True):
        path.write_bytes(picture(shade))
    return [str(path) for path in paths]


async def ran(*command: str, **environment: str) -> str:
    done = await asyncio.to_thread(
        subprocess.run, command, env=os.environ | environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_pages_and_announcements_by_confluent_kafka_and_by_the_sdk(site: Site, tmp_path: Path) -> None:
    pdf = report_pdf(site.files / "far away.pdf", pages=2, special={2: "The lighthouse was painted white."})
    for name, log in (("with_confluent", site.servers), ("sdk", site.log)):
        script = (sys.executable, str(EXAMPLES / f"{name}.py"))
        prefix = ("--prefix", site.prefix)
        await ran(*script, log, f"pages by {name}", *images(tmp_path, 10, 20, 30), *prefix)
        said = await ran(*script, log, f"file by {name}", pdf.as_uri(), *prefix)
        assert name != "sdk" or said.startswith("file by sdk is announced: record 0 of uploads, partition ")
    for name in ("with_confluent", "sdk"):
        assert len(set(await site.pages_of(f"pages by {name}", 3))) == 3
        assert "lighthouse" in (await site.pages_of(f"file by {name}", 2))[1]


async def test_another_partitioner_puts_pages_elsewhere_and_they_are_found_all_the_same(site: Site) -> None:
    """librdkafka hashes keys by CRC-32 unless it is told otherwise; folio, Java and kafka-python by murmur2."""
    elsewhere = 0
    theirs = ConfluentProducer({"bootstrap.servers": site.servers})
    where: dict[str, int] = {}
    facts = [Page(doc=Doc("default/mixed"), version=1, page=page, page_count=12) for page in range(1, 13)]
    for page in facts:
        key = page_key(page.doc, page.page)
        theirs.produce(
            f"{site.prefix}pages",
            key=key,
            value=picture(page.page),
            headers=page.headers(),
            on_delivery=lambda _, message: where.update({message.key().decode(): message.partition()}),
        )
    assert theirs.flush(30) == 0
    async with Producer.open(site.log, prefix=site.prefix) as ours:
        for page in facts:
            position = await ours.send_page(picture(page.page), "mixed", page.page, page_count=12)
            elsewhere += position.partition != where[page_key(page.doc, page.page)]
    assert elsewhere > 0
    assert len(await site.pages_of("mixed", 12)) == 12


async def test_a_file_that_may_not_be_fetched_is_a_dead_letter(site: Site, tmp_path: Path) -> None:
    secret = report_pdf(tmp_path / "secret.pdf", pages=1)
    async with Producer.open(site.log, prefix=site.prefix) as producer:
        await producer.announce("secret", secret.as_uri())
    async with asyncio.timeout(SETTLED_S):
        while not (found := await site.owner.dead.listed(Which())):
            await asyncio.sleep(0.1)
    assert [(one.cause, one.document, one.stage) for one in found] == [("policy_denied", "secret", "ingest")]
    known = audit.summary(site.owner.ledger_file, Doc("default/secret"))
    assert known is None or known.state in ("queued", "failed")


async def test_the_java_example(site: Site, tmp_path: Path) -> None:
    jars = ROOT / ".kafka" / "libs"
    if not shutil.which("javac") or not any(jars.glob("kafka-clients-*.jar")):
        pytest.skip("a JDK and Kafka's jars (make kafka) are wanted")
    classes = f"{jars}/*"
    await ran("javac", "-cp", classes, "-d", str(tmp_path), str(EXAMPLES / "PageProducer.java"))
    pages = images(tmp_path, 40, 50)
    out = await ran(
        "java", "-cp", f"{tmp_path}:{classes}", "PageProducer", site.servers, "by java", *pages, PREFIX=site.prefix
    )
    assert "2 pages of by java" in out
    assert len(await site.pages_of("by java", 2)) == 2


async def test_the_kcat_example(site: Site, tmp_path: Path) -> None:
    if not shutil.which("kcat"):
        pytest.skip("kcat is wanted")
    [page] = images(tmp_path, 60)
    await ran(str(EXAMPLES / "kcat.sh"), site.servers, "by kcat", page, "1", "1", PREFIX=site.prefix)
    assert len(await site.pages_of("by kcat", 1)) == 1


def test_the_sync_producer_and_a_broker_that_is_away(kafka: str) -> None:
    with pytest.raises(NotSent, match=r"127\.0\.0\.1:1"):
        SyncProducer("kafka://127.0.0.1:1")
    with pytest.raises(NotSent, match="topics"):
        SyncProducer(f"kafka://{kafka}", prefix="not-made.")


async def test_the_sync_producer_sends(kafka: str) -> None:
    prefix = f"producers-{uuid.uuid4().hex[:10]}."

    def send() -> int:
        with SyncProducer(f"kafka://{kafka}", prefix=prefix) as producer:
            producer.send_page(picture(), "book", 1)
            return int(producer.figures.pages)

    async with kafka_log(kafka, prefix):
        assert await asyncio.to_thread(send) == 1
