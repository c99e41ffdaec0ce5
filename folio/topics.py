"""The topics, one line each: what is kept, for how long, and under which key."""

from dataclasses import dataclass
from typing import Literal

DAY_S = 24 * 3600


@dataclass(frozen=True, slots=True)
class Topic:
    """A named stream of records. `keep_s` None keeps the newest record of each key for ever (compaction)."""

    name: str
    keep_s: int | None

    @property
    def cleanup(self) -> Literal["compact", "delete"]:
        return "compact" if self.keep_s is None else "delete"


UPLOADS = Topic("uploads", None)
PAGES = Topic("pages", 7 * DAY_S)
PAGES_BULK = Topic("pages.bulk", 7 * DAY_S)
PAGES_VERIFY = Topic("pages.verify", 7 * DAY_S)
TEXTS = Topic("texts", 90 * DAY_S)
DOCUMENTS = Topic("documents", None)
RECEIPTS = Topic("receipts", None)
DEAD = Topic("dead", 90 * DAY_S)

TOPICS = (UPLOADS, PAGES, PAGES_BULK, PAGES_VERIFY, TEXTS, DOCUMENTS, RECEIPTS, DEAD)
BY_NAME = {topic.name: topic for topic in TOPICS}
