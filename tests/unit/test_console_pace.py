"""Rates and the time that is left, on made-up runs."""

import pytest

from console.pace import Counts, Pace, Rate, duration
from console.progress import headline


def run(pace: Pace, *steps: Counts, every_s: float = 10.0) -> None:
    for number, counts in enumerate(steps):
        pace.feed(counts, number * every_s)


def test_born_digital_pages_alone() -> None:
    pace = Pace()
    run(
        pace,
        Counts(documents=1, announced=300),
        Counts(documents=1, announced=300, digital=100, searchable=100),
    )
    assert pace.read.value == pytest.approx(10)
    assert pace.seconds_left() == pytest.approx(20)


def test_a_few_scans_at_the_end_are_not_taken_for_quick_pages() -> None:
    pace = Pace()
    run(
        pace,
        Counts(documents=1, announced=110, waiting_scanned=10),
        Counts(documents=1, announced=110, digital=100, scanned=1, searchable=101, waiting_scanned=9),
    )
    assert pace.seconds_left() == pytest.approx(90), "nine scans at a tenth a second, not nine pages at ten"


def test_unread_pages_are_taken_to_be_as_mixed_as_those_seen() -> None:
    pace = Pace()
    run(
        pace,
        Counts(documents=1, announced=40),
        Counts(documents=1, announced=40, digital=10, scanned=10, searchable=20),
    )
    assert pace.seconds_left() == pytest.approx(20)


def test_the_index_is_waited_for_when_it_is_the_slow_part() -> None:
    pace = Pace()
    run(
        pace,
        Counts(documents=2, announced=200),
        Counts(documents=2, announced=200, digital=200, searchable=50),
    )
    assert pace.seconds_left() == pytest.approx(30)


def test_nothing_is_promised_before_anything_was_measured() -> None:
    pace = Pace()
    assert pace.seconds_left() is None
    run(pace, Counts(documents=1, announced=10), Counts(documents=1, announced=10))
    assert pace.seconds_left() is None
    run(
        pace,
        Counts(documents=1, announced=10, waiting_scanned=10),
        Counts(documents=1, announced=10, waiting_scanned=9),
    )
    assert pace.seconds_left() is None, "no scan was ever finished"


def test_documents_that_are_not_counted_yet_are_taken_to_be_like_the_others() -> None:
    assert Counts(documents=4, uncounted=2, announced=20).total == 40
    assert Counts(documents=2, uncounted=2).total == 2
    assert Counts().total == 0


def test_time_without_work_does_not_slow_a_rate_down_and_old_time_fades() -> None:
    rate = Rate()
    rate.passed(10, 100)
    for _ in range(20):
        rate.passed(10, 10)
    assert rate.value == pytest.approx(1, abs=0.5)


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (59.4, "59 s"), (200, "3 min 20 s"), (59.7, "1 min 00 s"), (7500, "2 h 05 min")]
)
def test_durations_are_read_at_a_glance(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_no_end_is_foretold_while_nothing_moves() -> None:
    pace = Pace()
    for second in range(31):
        pace.feed(Counts(documents=1, announced=100, digital=second), float(second))
    assert pace.steady_left() == pytest.approx(70, rel=0.1)
    for second in range(31, 60):
        pace.feed(Counts(documents=1, announced=100, digital=30), float(second))
    assert (pace.steady_left(), pace.still_s) == (None, 29)
    assert "time left: not known yet" in next(headline(pace.last or Counts(), pace, 0))
    pace.feed(Counts(documents=1, announced=100, digital=31), 60.0)
    assert pace.still_s == 0
