"""What people type in options, and what they are told when it means nothing."""

from datetime import UTC, datetime

import pytest
import typer

from console.asked import kinds_of, metadata_of, moment_of, span_of

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ("year=2024", 2024),
        ("net=-3", -3),
        ("share=0.25", 0.25),
        ("share=1e5", "1e5"),
        ("paid=true", True),
        ("paid=True", "True"),
        ("code=007", "007"),
        ("zero=0", 0),
        ('year="2024"', "2024"),
        ("note=a=b", "a=b"),
        ("empty=", ""),
        ("huge=99999999999999999999", "99999999999999999999"),
        ("nan=nan", "nan"),
    ],
)
def test_metadata_is_typed_by_its_looks(given: str, value: object) -> None:
    (found,) = metadata_of([given]).values()
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("given", ["year", "=3", " =3"])
def test_metadata_without_key_or_value_is_refused(given: str) -> None:
    with pytest.raises(typer.BadParameter, match="KEY=VALUE"):
        metadata_of([given])


@pytest.mark.parametrize(
    ("given", "span"), [("3", (3, 3)), ("3-7", (3, 7)), ("3-", (3, None)), ("-7", (None, 7)), (None, (None, None))]
)
def test_spans_of_pages(given: str | None, span: tuple[int | None, int | None]) -> None:
    assert span_of(given) == span


@pytest.mark.parametrize("given", ["", "-", "0", "7-3", "a", "1,2"])
def test_spans_that_are_none_are_refused(given: str) -> None:
    with pytest.raises(typer.BadParameter, match="--page"):
        span_of(given)


def test_moments_are_dates_or_times_ago() -> None:
    assert moment_of(None, "--since", now=NOW) is None
    assert moment_of("7d", "--since", now=NOW) == datetime(2026, 3, 8, 12, tzinfo=UTC).timestamp() * 1000
    assert moment_of("90min", "--since", now=NOW) == datetime(2026, 3, 15, 10, 30, tzinfo=UTC).timestamp() * 1000
    assert moment_of("2026-03-01T10:00+00:00", "--since", now=NOW) == 1772359200000
    first, last = (moment_of("2026-03-01", "--until", now=NOW, end=end) for end in (False, True))
    assert first is not None
    assert last == first + 24 * 3600 * 1000 - 1, "until a day means that day too"


@pytest.mark.parametrize("given", ["", "yesterday", "7", "7m", "2026-13-01", "999999w"])
def test_moments_that_are_none_are_refused(given: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"--since.*7d"):
        moment_of(given, "--since", now=NOW)


def test_kinds_are_named_when_one_is_wrong() -> None:
    assert [kind.value for kind in kinds_of(["table", "heading"])] == ["table", "heading"]
    with pytest.raises(typer.BadParameter, match="paragraph"):
        kinds_of(["tables"])
