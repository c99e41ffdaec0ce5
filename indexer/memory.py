"""The Store in this process's memory, gone with it: for tests, and for a look around that must leave nothing behind."""

from qdrant_client import QdrantClient

from indexer.qdrant import QdrantStore


class MemoryStore(QdrantStore):
    """The client's memory mode; its `client` can be handed to any library that reads Qdrant."""

    def __init__(self, dimension: int, *, collection: str = "folio") -> None:
        super().__init__(QdrantClient(":memory:"), collection=collection, dimension=dimension, inline=True)
