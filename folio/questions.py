"""What is asked and what is answered: a search with its filters, and the hits of it; the same on CLI and HTTP."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from folio.records import BlockKind, Message, PageBox

PAGES_MAX = 1_000_000_000
PageOf = Annotated[int, Field(ge=1, le=PAGES_MAX)]


class Filters(Message):
    """What a search may look at; everything that is given must hold, and of several values any one may.

    `sources` are file names or URIs. Pages are inclusive. Times are when the document was added, ms since 1970.
    """

    documents: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    page_first: PageOf | None = None
    page_last: PageOf | None = None
    kinds: tuple[BlockKind, ...] = ()
    since_ms: int | None = Field(default=None, ge=0, le=1 << 53)
    until_ms: int | None = Field(default=None, ge=0, le=1 << 53)
    metadata: dict[str, str | int | float | bool] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _not_backwards(self) -> Self:
        if self.page_first and self.page_last and self.page_first > self.page_last:
            raise ValueError(f"page_first {self.page_first} is after page_last {self.page_last}")
        if self.since_ms and self.until_ms and self.since_ms > self.until_ms:
            raise ValueError("since is later than until: nothing can lie between them")
        return self


class Question(Message):
    """A search. `neighbours` chunks before and after a hit, or its whole `section`, come with it as context."""

    question: str = Field(min_length=1, max_length=4000)
    k: int = Field(default=5, ge=1, le=100)
    mode: Literal["hybrid", "dense", "lexical"] = "hybrid"
    filters: Filters = Filters()
    neighbours: int = Field(default=0, ge=0, le=10)
    section: bool = False
    explain: bool = False


class Explanation(Message):
    """How a hit came to its place: rank (from 1) and score in each list that has it, and the words it shares."""

    dense_rank: int | None = None
    dense_score: float | None = None
    lexical_rank: int | None = None
    lexical_score: float | None = None
    terms: tuple[str, ...] = ()


class Hit(Message):
    """What a search answers: a passage with its document, pages and boxes. The same schema on CLI and HTTP.

    `before`, `after` and `section` are filled when they were asked for; `text` is always the passage itself.
    """

    text: str
    document: str
    version: int
    pages: tuple[int, ...]
    boxes: tuple[PageBox, ...]
    headings: tuple[str, ...]
    score: float
    flags: tuple[str, ...] = ()
    chunk_id: str = ""
    kind: BlockKind = BlockKind.PARAGRAPH
    source: str = ""
    uri: str = ""
    metadata: dict[str, Any] = Field(default_factory=dict)
    before: str = ""
    after: str = ""
    section: str = ""
    explanation: Explanation | None = None
