"""Small documents pass a large one, and one that takes too long is given up alone."""

import asyncio
import time
from contextlib import asynccontextmanager

import pytest

from chunking.lanes import SMALL_BYTES, Lanes, is_small
from folio.errors import Cause, Permanent
from folio.records import ChunkSet
from tests.unit.chunking_documents import document

SETTINGS = {"tokenizer": "words", "tokens_max": 64, "context_tokens_max": 12, "model": "hash"}
SMALL = document("five words in one document").pack()
LARGE = document(*["- a\n" * 5000] * 120).pack()


@asynccontextmanager
async def lanes(seconds_max: float = 60):
    opened = Lanes(SETTINGS, seconds_max=seconds_max)
    yield opened
    await opened.close()


async def test_small_documents_do_not_wait_for_a_large_one():
    async with lanes() as chunkers:
        await chunkers.chunk(SMALL)
        large = asyncio.create_task(chunkers.chunk(LARGE))
        await asyncio.sleep(0)
        made = await asyncio.gather(*[chunkers.chunk(SMALL) for _ in range(10)])
        assert not large.done()
        assert {len(ChunkSet.decode(one).chunks) for one in made} == {1}
        large.cancel()
        with pytest.raises(asyncio.CancelledError):
            await large


async def test_a_document_that_takes_too_long_is_refused_and_the_next_one_is_not():
    async with lanes(seconds_max=1.5) as chunkers:
        await chunkers.chunk(SMALL)
        start = time.monotonic()
        with pytest.raises(Permanent, match=r"chunking\.document_seconds_max") as refused:
            await chunkers.chunk(LARGE)
        assert refused.value.cause is Cause.TOO_LARGE
        assert time.monotonic() - start < 20
        assert not is_small(LARGE)
        assert ChunkSet.decode((await asyncio.gather(chunkers.chunk(SMALL), chunkers.chunk(SMALL)))[1]).chunks


async def test_two_large_ones_take_turns():
    big = document(*["word " * 5000] * 50).pack()
    async with lanes() as chunkers:
        made = await asyncio.gather(chunkers.chunk(big), chunkers.chunk(big))
        assert made[0] == made[1]
        assert chunkers._small.starts == 0


def test_size_is_what_a_document_unpacks_to():
    assert is_small(SMALL)
    packed = document("z" * SMALL_BYTES).pack()
    assert len(packed) < 1000
    assert not is_small(packed)


async def test_what_is_no_document_is_refused():
    assert is_small(b"nothing packed")
    async with lanes() as chunkers:
        with pytest.raises(Permanent) as refused:
            await chunkers.chunk(b"nothing packed")
        assert refused.value.cause is Cause.SCHEMA_INVALID
