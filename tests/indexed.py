"""A revision swapped in and given its vectors at once: what both index stages make of it together."""

from folio.records import ChunkSet
from indexer.embedding import Embedder
from indexer.giving import give_vectors
from indexer.store import Store
from indexer.swap import Swapped, swap


async def indexed(store: Store, embedder: Embedder, chunks: ChunkSet) -> Swapped:
    swapped = await swap(store, chunks)
    if embedder.dimension:
        await give_vectors(store, embedder, chunks.doc)
    return swapped
