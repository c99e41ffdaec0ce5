"""The stage `embed-GENERATION`: chunks that are found by their words are given their vectors, and a Receipt says so.

It decides nothing about what is visible, so it needs no order among writers: after a crash, a second delivery or a
revision that came in between it asks the store what is lacking now.
"""

import time
from collections.abc import AsyncGenerator
from functools import partial

from folio.faults import effect
from folio.log import Entry
from folio.outputs import Output
from folio.records import Receipt
from folio.stage import Stage
from folio.topics import RECEIPTS
from indexer.embedding import Embedder
from indexer.giving import Giving
from indexer.stage import receipt_record
from indexer.store import Head, Store

PREFIX = "embed-"


def embed_stage(store: Store, embedder: Embedder, *, generation: str, documents_at_once: int) -> Stage:
    """Follows the receipts of its own generation; while the embedder is away, what is there is found by its words."""
    return Stage(
        name=PREFIX + generation,
        sources=(RECEIPTS,),
        process=partial(_embed, store, embedder, generation),
        key_order=True,
        entries_max=documents_at_once,
    )


async def _embed(store: Store, embedder: Embedder, generation: str, entry: Entry) -> AsyncGenerator[Output, None]:
    """A receipt only for what is visible when it is appended; and again for what became visible meanwhile."""
    asked = Receipt.decode(entry.value)
    if asked.generation != generation or not asked.lacking:
        return
    giving = Giving(store, embedder, asked.doc)
    told: Head | None = None
    while (head := await giving.whole()) is not None and head != told:
        with effect("indexer.flush_vectors"):
            await store.flush()
        giving.raise_refused()
        yield RECEIPTS, receipt_record(_receipt(asked, head, made=giving.made))
        told = head


def _receipt(asked: Receipt, head: Head, *, made: int) -> Receipt:
    """Nothing lacks any more. `embedded` is what the first receipt counted, however often we were interrupted."""
    is_the_one = head.seen == asked.revision
    return Receipt(
        doc=head.doc,
        version=head.version,
        revision=head.seen,
        generation=asked.generation,
        chunks=head.chunks,
        embedded=asked.lacking if is_the_one else made,
        manifest=head.manifest,
        outcome="visible" if head.seen == head.revision else "unchanged",
        complete=asked.complete and is_the_one,
        indexed_ms=max(time.time_ns() // 1_000_000, asked.indexed_ms + 1),
    )
