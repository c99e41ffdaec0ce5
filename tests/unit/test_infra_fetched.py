"""What a reader of a broker holds between its threads: leases, entries within a budget, attempts; and what is sent."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as some

from folio.errors import LeaseLost
from folio.log import Entry, Position, Record
from infra.fetched import METADATA_CHARS_MAX, Fetched, packed, unpacked
from infra.sending import Answer, Room, parts_of

A, B = ("x.pages", 0), ("x.pages", 1)


def holding(*lanes, bytes_max: int = 1000) -> Fetched:
    fetched = Fetched(bytes_max)
    for lane in lanes:
        fetched.gain(lane, "pages", 5)
        fetched.begin(lane, 0, {})
    return fetched


def entry(lane, offset: int, size: int = 10) -> Entry:
    return Entry(Position("pages", lane[1], offset), "k", bytes(size), {}, 0)


def put(fetched: Fetched, lane, *offsets: int, size: int = 10) -> None:
    _, lease, _ = fetched.lease_of(lane)
    fetched.put([(lane, lease, [entry(lane, offset, size) for offset in offsets])])


def lease_of(fetched: Fetched, lane):
    return fetched.lease_of(lane)[1]


@given(some.integers(0, 10**12), some.dictionaries(some.integers(0, 2000), some.integers(1, 4), max_size=1024))
def test_attempts_that_fit_come_back_as_they_were_and_never_as_something_else(following: int, relative) -> None:
    attempts = {following + offset: count for offset, count in relative.items()}
    text = packed(following, attempts)
    assert len(text) <= METADATA_CHARS_MAX
    back = unpacked(following, text)
    assert back.items() <= attempts.items()
    if len(text) < METADATA_CHARS_MAX - 20:
        assert back == attempts


def test_suspects_are_remembered_before_what_was_attempted_once() -> None:
    attempts = dict.fromkeys(range(0, 20_000, 2), 1) | {19_999: 3}
    text = packed(0, attempts)
    assert len(text) <= METADATA_CHARS_MAX
    assert unpacked(0, text)[19_999] == 3


@pytest.mark.parametrize("strange", ["", "x", "1:a", "consumer group tool", "1:5-", "1:0-99999999999"])
def test_what_others_wrote_beside_an_offset_is_harmless(strange: str) -> None:
    assert len(unpacked(0, strange)) <= 1 << 16


def test_partitions_take_turns_and_a_large_entry_comes_alone() -> None:
    fetched = holding(A, B)
    put(fetched, A, 0, 1, 2, 3)
    put(fetched, B, 0, 1, size=500)
    taken = [[(one.position.partition, one.position.offset) for one in fetched.take(2, 100)] for _ in range(5)]
    assert taken[0] == [(0, 0), (0, 1)]
    assert taken[1] == [(1, 0)]
    assert sorted(one for some_taken in taken for one in some_taken) == [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1)]


def test_it_is_full_at_its_budget_until_half_of_it_is_free() -> None:
    fetched = holding(A, bytes_max=100)
    put(fetched, A, *range(10))
    assert fetched.full
    fetched.take(4, 1000)
    assert fetched.full, "a broker is not asked record by record"
    fetched.take(1, 1000)
    assert not fetched.full
    put(fetched, A, *range(10, 20))
    assert fetched.full
    fetched.lose([A])
    assert not fetched.full


def test_what_was_fetched_under_a_lost_lease_is_dropped_even_when_the_partition_is_back() -> None:
    fetched = holding(A)
    before = lease_of(fetched, A)
    put(fetched, A, 0)
    fetched.lose([A])
    fetched.gain(A, "pages", 5)
    assert lease_of(fetched, A).epoch > before.epoch
    fetched.put([(A, before, [entry(A, 1)])])
    assert fetched.take(10, 1000) == []
    assert fetched.unknown() == [A]


def test_marks_join_what_many_want_and_refuse_only_who_lost_a_lease() -> None:
    fetched = holding(A, B)
    a, b = lease_of(fetched, A), lease_of(fetched, B)
    fetched.lose([B])
    marks, outcomes = fetched.marks([({a: {3: 1, 7: 2}}, {}), ({}, {a: 5}), ({}, {b: 9}), ({a: {8: 0, 9: 1}}, {b: 1})])
    assert [type(outcome) for outcome in outcomes] == [type(None), type(None), LeaseLost, LeaseLost]
    assert (marks[A].following, marks[A].attempts) == (5, {7: 2})
    assert B not in marks
    assert fetched.marks([({}, {a: 6})])[0][A].attempts == {}, "nothing is on record until it is committed"
    fetched.committed(marks)
    assert fetched.marks([({}, {a: 6})])[0][A].attempts == {7: 2}


def test_a_stopped_partition_is_not_readable_and_says_what_it_lacks() -> None:
    fetched = holding(A, B)
    fetched.stop(A, "5 entries are gone")
    assert fetched.readable() == {B}
    assert fetched.gaps()[0] == ["5 entries are gone"]
    fetched.lose([A])
    assert fetched.gaps()[0] == []


def test_slices_hold_every_record_once_in_order() -> None:
    records = [Record("k", bytes(size)) for size in (10, 10, 5000, 10)]
    parts = parts_of(records, 400)
    assert [len(part) for part, _ in parts] == [2, 1, 1]
    assert [record for part, _ in parts for record in part] == records


async def test_room_is_waited_for_and_what_is_larger_than_all_of_it_goes_alone() -> None:
    room = Room(100)
    leave = await room.enter(60)
    waiting = asyncio.create_task(room.enter(500))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    await asyncio.to_thread(leave, None)
    leave_alone = await asyncio.wait_for(waiting, 30)
    blocked = asyncio.create_task(room.enter(1))
    await asyncio.sleep(0.01)
    assert not blocked.done()
    leave_alone(None)
    await asyncio.wait_for(blocked, 30)


async def test_an_answer_whose_asker_went_away_still_gives_its_room_back() -> None:
    left: list[object] = []
    answer = Answer(1, left.append)
    waiting = asyncio.ensure_future(asyncio.wrap_future(answer.all))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    answer.refused(0, ValueError("late"))
    assert len(left) == 1


def test_what_was_fetched_of_a_partition_that_came_back_waits_for_where_it_begins() -> None:
    fetched = holding(A)
    before = lease_of(fetched, A)
    marks, _ = fetched.marks([({}, {before: 4})])
    fetched.lose([A])
    fetched.gain(A, "pages", 6)
    fetched.committed(marks)
    put(fetched, A, 9)
    assert fetched.unknown() == [A], "a commit under the lease before does not say where this one begins"
    assert fetched.take(10, 1000) == []
