"""The small parts of the waist: tracker, gate, batcher, patience, ids, records, fail points."""

import asyncio
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from folio import ids
from folio.batching import Batcher
from folio.errors import Cause, CauseKind, Permanent, Transient
from folio.gate import Gate
from folio.letters import DeadLetter
from folio.log import Entry, Position
from folio.patience import Patience
from folio.records import (
    Block,
    BlockKind,
    Box,
    Chunk,
    ChunkSet,
    Document,
    Page,
    PageText,
    Receipt,
    Source,
    Upload,
)
from folio.tracker import Tracker


class TestTracker:
    @given(offsets=st.sets(st.integers(0, 500), max_size=60), data=st.data())
    def test_it_never_commits_past_the_first_unfinished(self, offsets, data) -> None:
        tracker, unfinished = Tracker(), set(offsets)
        for offset in sorted(offsets):
            tracker.begin(offset)
        for offset in data.draw(st.permutations(sorted(offsets))):
            tracker.finish(offset)
            unfinished.discard(offset)
            if (at := tracker.to_commit) is not None:
                assert at <= min(unfinished, default=501)
                assert at - 1 in offsets - unfinished
                tracker.committed(at)
                assert tracker.to_commit is None
            assert tracker.uncommitted == len([o for o in offsets if o >= min(unfinished, default=501)])
        assert tracker.uncommitted == 0

    def test_an_offset_that_goes_back_is_refused_also_when_nothing_is_open(self) -> None:
        tracker = Tracker()
        tracker.begin(5)
        tracker.finish(5)
        with pytest.raises(ValueError, match="5 after 5"):
            tracker.begin(5)


class TestGate:
    async def test_alone_is_alone_and_holds_new_ones_back(self) -> None:
        gate, inside, seen = Gate(), set(), []

        async def enter(name: str, *, alone: bool) -> None:
            async with gate.alone() if alone else gate.shared():
                inside.add(name)
                seen.append(frozenset(inside))
                await asyncio.sleep(0.005)
                inside.discard(name)

        tasks = [asyncio.create_task(enter(name, alone=name.isupper())) for name in "abXcdYe"]
        await asyncio.wait_for(asyncio.gather(*tasks), 5)
        assert all(len(names) == 1 for names in seen if any(name.isupper() for name in names))
        assert seen[1] == {"a", "b"}
        order = [next(iter(names)) for names in seen if len(names) == 1 and next(iter(names)).isupper()]
        assert sorted(order) == ["X", "Y"]

    @given(seed=st.lists(st.tuples(st.booleans(), st.integers(0, 6), st.integers(0, 2)), min_size=1, max_size=15))
    @settings(max_examples=80, deadline=None)
    def test_cancelling_anybody_at_any_time_never_locks_it(self, seed) -> None:
        async def scenario() -> None:
            gate = Gate()

            async def enter(*, alone: bool) -> None:
                async with gate.alone() if alone else gate.shared():
                    await asyncio.sleep(0)
                    await asyncio.sleep(0)

            tasks = []
            for alone, wait, cancels in seed:
                tasks.append(task := asyncio.create_task(enter(alone=alone)))
                for _ in range(wait):
                    await asyncio.sleep(0)
                for _ in range(cancels):
                    task.cancel()
            await asyncio.wait(tasks, timeout=5)
            async with asyncio.timeout(1), gate.alone():
                pass
            async with asyncio.timeout(1), gate.shared():
                pass

        asyncio.run(scenario())


class TestBatcher:
    async def test_items_that_come_during_a_call_travel_together_in_order(self) -> None:
        calls: list[list[int]] = []

        async def call(items):
            calls.append(list(items))
            await asyncio.sleep(0.005)
            return [item * 2 for item in items]

        batcher = Batcher(call, items_max=4)
        first = batcher(0)
        await asyncio.sleep(0.001)
        rest = [batcher(n) for n in range(1, 8)]
        assert await asyncio.gather(first, *rest) == [n * 2 for n in range(8)]
        assert calls == [[0], [1, 2, 3, 4], [5, 6, 7]]

    async def test_a_failed_call_fails_its_own_items_only_and_a_caller_that_left_harms_nobody(self) -> None:
        async def call(items):
            await asyncio.sleep(0)
            if 1 in items:
                raise ValueError("odd")
            return items

        batcher = Batcher(call, items_max=2)
        answers = [batcher(n) for n in range(4)]
        answers[2].cancel()
        results = await asyncio.gather(*answers, return_exceptions=True)
        assert [type(result) for result in results] == [ValueError, ValueError, asyncio.CancelledError, int]
        await batcher.drain()
        assert await batcher(9) == 9


class TestPatience:
    async def test_it_repeats_what_is_transient_and_says_what_it_waits_for(self) -> None:
        patience, seen = Patience("s", (0.001,)), []

        async def call() -> str:
            seen.append(dict(patience.waits))
            if len(seen) < 4:
                raise Transient(Cause.STORE_DOWN)
            return "here"

        assert await patience(call) == "here"
        assert [set(waits.values()) for waits in seen] == [set(), *[{Cause.STORE_DOWN}] * 3]
        assert patience.waits == {}

    async def test_a_log_that_is_back_is_not_waited_for(self) -> None:
        patience, asked = Patience("s", (30,)), 0

        async def call() -> str:
            nonlocal asked
            asked += 1
            if asked == 1:
                raise Transient(Cause.LOG_DOWN)
            return "here"

        async with asyncio.timeout(5):
            with capture_logs() as said:
                assert await patience(call) == "here"
        assert [line["event"] for line in said] == ["waiting", "goes on"]

    async def test_anything_else_comes_through_and_nobody_waits_when_it_is_over(self) -> None:
        patience = Patience("s", (30,))

        async def permanent() -> None:
            raise Permanent(Cause.CORRUPT)

        async def transient() -> None:
            raise Transient(Cause.STORE_DOWN)

        with pytest.raises(Permanent):
            await patience(permanent)
        patience.over = True
        with pytest.raises(asyncio.CancelledError):
            await patience(transient)
        assert patience.waits == {}


class TestIds:
    @given(tenant=st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True), doc_id=st.text(min_size=1, max_size=60))
    def test_tenant_and_document_id_come_back_from_the_key(self, tenant, doc_id) -> None:
        if not doc_id.isprintable():
            with pytest.raises(ValueError, match="printable"):
                ids.doc_of(tenant, doc_id)
            return
        doc = ids.doc_of(tenant, doc_id)
        assert (ids.tenant_of(doc), ids.doc_id_of(doc)) == (tenant, doc_id)

    @pytest.mark.parametrize("tenant", ["", "A", "a/b", "../x", "a" * 65])
    def test_a_tenant_cannot_pose_as_another(self, tenant) -> None:
        with pytest.raises(ValueError, match="tenant"):
            ids.doc_of(tenant, "x")

    def test_a_chunk_keeps_its_id_through_white_space_and_differs_by_document_and_occurrence(self) -> None:
        chunk = ids.chunk_id("default/a", "one  two\nthree", 0)
        assert chunk == ids.chunk_id("default/a", "one two three", 0)
        others = {ids.chunk_id("default/b", "one two three", 0), ids.chunk_id("default/a", "one two three", 1)}
        assert len({chunk, *others}) == 3
        assert ids.point_id(chunk, 1) != ids.point_id(chunk, 2)

    @given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 400)), min_size=1, max_size=30))
    def test_versions_rise_with_time(self, steps) -> None:
        appended_ms, offset, versions = 1_700_000_000_000, 0, []
        for passed, more in steps:
            appended_ms += passed + 1
            offset += more
            versions.append(ids.version_at(appended_ms, offset))
        assert versions == sorted(set(versions))


def entry(key: str = "k", value: bytes = b"", headers=None, topic: str = "pages", offset: int = 0) -> Entry:
    return Entry(Position(topic, 0, offset), key, value, headers or {}, 1_700_000_000_000)


fraction = st.floats(0, 1, allow_nan=False)
texts = st.builds(
    PageText,
    doc=st.just("default/a"),
    version=st.integers(1, 2**60),
    page=st.integers(1, 10_000),
    source=st.sampled_from(Source),
    markdown=st.text(max_size=50),
    seconds=st.floats(0, 1e6),
    flags=st.lists(st.text(max_size=5), max_size=3).map(tuple),
    blocks=st.lists(
        st.builds(Block, kind=st.sampled_from(BlockKind), start=st.integers(0, 9), end=st.integers(0, 9)), max_size=3
    ).map(tuple),
)


class TestRecords:
    @given(texts)
    def test_page_texts_come_back_as_they_were(self, text) -> None:
        assert PageText.decode(text.encode()) == text

    @given(st.lists(texts, max_size=4))
    @settings(max_examples=30)
    def test_documents_come_back_packed(self, pages) -> None:
        document = Document(doc="default/a", version=1, revision=2, pages=tuple(pages), metadata={"a": [1, None]})
        assert Document.unpack(document.pack()) == document

    @pytest.mark.parametrize(
        "message",
        [
            Upload(doc="default/a", sha256="0" * 64, name="报告.pdf", metadata={"tags": "x"}),
            Receipt(doc="default/a", version=1, revision=1, generation="g", outcome="deleted"),
            DeadLetter(stage="s", cause=Cause.CORRUPT, topic="t", partition=0, offset=1, key="k"),
            ChunkSet(
                doc="default/a",
                version=1,
                revision=1,
                gaps={2: Cause.ENCRYPTED},
                chunks=(Chunk(chunk_id="c", embed_hash="e", body="b", pages=(1,)),),
            ),
        ],
        ids=lambda message: type(message).__name__,
    )
    def test_every_message_comes_back_as_it_was(self, message) -> None:
        assert type(message).decode(message.encode()) == message

    @given(
        page=st.integers(1, 10_000),
        version=st.integers(1, 2**60),
        count=st.none() | st.integers(1, 10_000),
        verify=st.booleans(),
    )
    def test_a_page_comes_back_from_its_headers(self, page, version, count, verify) -> None:
        sent = Page(doc="acme/报告 1.pdf", version=version, page=page, page_count=count, verify=verify, name="n")
        assert Page.of(entry(headers=sent.headers())) == sent

    @pytest.mark.parametrize(
        ("headers", "names"),
        [
            ({}, "folio-doc-id"),
            ({"folio-doc-id": "a", "folio-version": "1"}, "folio-page"),
            ({"folio-doc-id": "a", "folio-version": "x", "folio-page": "1"}, "headers"),
            ({"folio-doc-id": "a", "folio-version": "1", "folio-page": "0"}, "page"),
            (
                {"folio-doc-id": "a", "folio-version": "1.0", "folio-page": "1"},
                "'1.0' is no whole number",
            ),
            ({"folio-doc-id": "a", "folio-version": "1", "folio-page": "1000000000"}, "page"),
            ({"folio-doc-id": "a", "folio-version": "1", "folio-page": "1", "folio-page-count": "1000000000"}, "page"),
            ({"folio-doc-id": "a", "folio-version": str(2**63), "folio-page": "1"}, "version"),
            ({"folio-doc-id": "\ufffd", "folio-version": "1", "folio-page": "1"}, "UTF-8"),
            ({"folio-doc-id": "a", "folio-version": "1", "folio-page": "1", "folio-tenant": "A/B"}, "tenant"),
        ],
    )
    def test_wrong_headers_are_a_dead_letter_that_names_the_header(self, headers, names) -> None:
        with pytest.raises(Permanent, match=names) as raised:
            Page.of(entry(headers=headers))
        assert raised.value.cause is Cause.SCHEMA_INVALID

    @pytest.mark.parametrize("value", [b"", b"{", b"[]", b"\xff\xfe", b'{"doc": 1}', b"null"])
    def test_a_value_that_is_no_record_is_a_dead_letter(self, value) -> None:
        for message in (Upload, PageText, Receipt, DeadLetter):
            with pytest.raises(Permanent):
                message.decode(value)
        with pytest.raises(Permanent):
            Document.unpack(value)

    @pytest.mark.parametrize(
        "metadata", ['{"a": NaN}', '{"a": 1e999}', '{"a": {"b": 1}}', '{"a": null}', '{"a": "%s"}' % ("x" * 16_384)]
    )
    def test_metadata_that_no_filter_can_ask_for_or_without_bound_are_refused(self, metadata) -> None:
        with pytest.raises(Permanent, match="metadata") as raised:
            Upload.decode(b'{"doc": "default/a", "metadata": %s}' % metadata.encode())
        assert raised.value.cause is Cause.SCHEMA_INVALID

    def test_an_older_reader_survives_a_newer_writer(self) -> None:
        assert Upload.decode(b'{"doc": "default/a", "something_new": {"x": 1}}').doc == "default/a"

    def test_a_failed_page_without_a_cause_is_refused(self) -> None:
        with pytest.raises(ValueError, match="cause"):
            PageText(doc="default/a", version=1, page=1, source=Source.OCR, status="failed")

    @given(x=st.tuples(*[st.floats(-500, 1500)] * 4), width=st.floats(1, 1000), height=st.floats(1, 1000))
    def test_boxes_are_ordered_and_within_the_page(self, x, width, height) -> None:
        box = Box.within(x, width=width, height=height)
        assert 0 <= box.x0 <= box.x1 <= 1
        assert 0 <= box.y0 <= box.y1 <= 1

    def test_a_dead_letter_of_an_upload_carries_the_version_that_the_log_gave_it(self) -> None:
        letter = DeadLetter.of(
            entry("default/a", topic="uploads", offset=7), "ingest", cause=Cause.CORRUPT, detail="x" * 9000
        )
        assert (letter.version, letter.page, letter.doc) == (ids.version_at(1_700_000_000_000, 7), None, "default/a")
        assert len(letter.detail) == 2000


class TestCauses:
    def test_every_cause_has_a_kind_and_a_sentence(self) -> None:
        for cause in Cause:
            assert cause.kind in CauseKind
            assert cause.sentence.endswith(".")
            assert str(cause) in str(Permanent(cause))


class TestFaults:
    @pytest.mark.parametrize(
        ("fault", "lines"), [("a.b:before", ""), ("a.b:after", "1"), ("a.b:before@3", "12"), ("x:before", "1234")]
    )
    def test_a_process_dies_at_the_point_that_was_asked_for(self, fault, lines) -> None:
        code = "from folio.faults import effect\nfor n in '1234':\n  with effect('a.b'): print(n, end='', flush=True)"
        done = subprocess.run(
            [sys.executable, "-c", code], env={"FOLIO_FAULT": fault}, capture_output=True, text=True, check=False
        )
        assert done.stdout == lines
        assert done.returncode == (0 if len(lines) == 4 else 137)
