"""Looking ahead: what is read of the next pages for the sake of this one is kept until their turn comes."""

from collections.abc import Callable
from functools import partial

from ingest.sheet import Sheet

LINKS_MAX = 2000
BOOKMARKS_MAX = 5000


class Ahead:
    """Sheets of one open file. Looking at a later page costs nothing when pages are read in order."""

    def __init__(self, read: Callable[[int], Sheet], page_count: int) -> None:
        self._read = read
        self._page_count = page_count
        self._kept: dict[int, Sheet | None] = {}

    def sheet(self, page: int, last: int | None = None) -> Sheet:
        """One page, which may look ahead as far as `last`; raises what reading it raises."""
        last = self._page_count if last is None else min(last, self._page_count)
        kept = self._kept.pop(page, None)
        self._kept = {later: sheet for later, sheet in self._kept.items() if later > page}
        sheet = kept or self._read(page)
        sheet.following = partial(self._peek, page + 1, last)
        return sheet

    def _peek(self, page: int, last: int) -> Sheet | None:
        """The page if it can be read; what is wrong with it is told when its turn comes."""
        if page > last:
            return None
        if page not in self._kept:
            try:
                self._kept[page] = self._read(page)
            except Exception:  # whatever a broken page raises
                self._kept[page] = None
        sheet = self._kept[page]
        if sheet is not None:
            sheet.following = partial(self._peek, page + 1, last)
        return sheet
