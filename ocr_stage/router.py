"""`auto`: which resolution a page is read in, by a table over cheap features; `quality` can fit another table."""

import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from folio.errors import SettingsError
from ocr_stage.modes import Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """`width` and `height` in pixels, `ink` a share of the page, `line_height` a share of the page's longest edge.

    `letters` is what the lines seem to hold, blanks left out: right to a third, and twice too many for ideographs,
    which say twice as much.
    """

    width: int
    height: int
    ink: float = 0.0
    line_height: float = 0.0
    lines: int = 0
    letters: int = 0


class Row(BaseModel):
    """A mode, and what it can take: lines no lower than this on its canvas, and no more letters on the page."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Mode
    line_pixels_min: float = Field(0.0, ge=0)
    letters_max: float = Field(float("inf"), ge=0)

    def takes(self, page: Features) -> bool:
        """On a canvas a page is as large as its longest edge lets it be."""
        seen = page.line_height * self.mode.canvas
        return page.letters <= self.letters_max and (seen >= self.line_pixels_min or page.lines == 0)


TABLE = (
    Row(mode=Mode.BASE, line_pixels_min=11, letters_max=3000),
    Row(mode=Mode.LARGE, line_pixels_min=10, letters_max=5000),
    Row(mode=Mode.GUNDAM),
)
"""By what the model's authors publish, not by measurements of ours, and on the careful side: they find 97 % of the text
right up to ten of its tokens for each of the picture's (arXiv 2510.18234); here Base gets three. Small print such as
newspapers' they read well only in tiles. Tiny and Small are left to a table that was fitted on one's own pages."""
_ROWS = TypeAdapter(tuple[Row, ...])


@dataclass(frozen=True, slots=True)
class Router:
    """The first row that takes a page chooses its mode; the last row takes what none before it took."""

    table: tuple[Row, ...] = TABLE

    @classmethod
    def read(cls, path: Path) -> "Router":
        """A table that `benchmarks.routing --fit` wrote. Raises SettingsError."""
        try:
            table = _ROWS.validate_json(path.read_bytes())
        except OSError as error:
            raise SettingsError(f"ocr.router: {path} cannot be read ({error.strerror})") from None
        except ValidationError as error:
            wrong = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(map(str, wrong["loc"]))
            raise SettingsError(f"ocr.router: {path}: {where}: {wrong['msg']}: fit it again") from None
        if not table:
            raise SettingsError(f"ocr.router: {path} has no rows: fit it again")
        return cls(table)

    def mode(self, page: Features) -> Mode:
        return next((row.mode for row in self.table if row.takes(page)), self.table[-1].mode)

    def written(self) -> str:
        """As `read` takes it."""
        return json.dumps(_ROWS.dump_python(self.table, mode="json", exclude_defaults=True), indent=1)
