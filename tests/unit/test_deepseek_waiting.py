"""Which pages are encoded together and when, which rows make a page, and when waiting requests may join."""

from types import SimpleNamespace

import numpy as np
import pytest

from ocr_stage.deepseek.admission import Door, Room, peak
from ocr_stage.deepseek.patches import fits
from ocr_stage.deepseek.plain import ended
from ocr_stage.deepseek.tickets import Shape, Ticket, page_rows
from ocr_stage.deepseek.waiting import Queue, Waiting
from ocr_stage.modes import GRIDS, canvas_tokens, tile_tokens


def page(number, grid=(1, 1), canvas=1024, since_s=0.0):
    return Waiting(Ticket(0, number, canvas, grid), f"r{number}", None, since_s)


def fit(count):
    return max(size for size in (1, 2, 4, 8) if size <= count)


def numbers(group):
    return [one.ticket.number for one in group]


def test_a_full_group_goes_at_once():
    queue = Queue(group=2, wait_s=10)
    queue.add(page(1, (2, 3)))
    assert queue.due_s(1.0) == pytest.approx(9.0)
    queue.add(page(2))
    queue.add(page(3, (3, 2)))
    assert queue.due_s(1.0) == 0.0
    assert numbers(queue.take(fit)) == [1, 3], "two grids of six tiles are one shape"
    assert len(queue) == 1


def test_a_page_without_company_waits_no_longer_than_it_must():
    queue = Queue(group=8, wait_s=0.5)
    queue.add(page(1, since_s=100.0))
    queue.add(page(2, (1, 2), since_s=100.2))
    assert queue.due_s(100.6) == 0.0
    assert numbers(queue.take(fit)) == [1]
    assert queue.due_s(100.6) == pytest.approx(0.1)


def test_groups_have_sizes_that_are_captured():
    queue = Queue(group=8, wait_s=0)
    for number in range(7):
        queue.add(page(number))
    assert [len(queue.take(fit)) for _ in range(3)] == [4, 2, 1]
    assert queue.due_s(0) is None


def test_the_oldest_of_full_groups_goes_first():
    queue = Queue(group=1, wait_s=0)
    queue.add(page(1, (1, 2), since_s=5))
    queue.add(page(2, since_s=4))
    assert numbers(queue.take(fit)) == [2]


@pytest.mark.parametrize("grid", [(1, 1), *GRIDS])
@pytest.mark.parametrize("canvas", [512, 1024])
def test_rows_of_a_page_are_its_own_each_once(grid, canvas):
    """As many as the prompt has places; no page of a group shares a row, but for new line and separator."""
    one, two = Ticket(0, 1, canvas, grid), Ticket(1, 2, canvas, grid)
    rows, others = page_rows(one, 0, 2), page_rows(two, 1, 2)
    tiles = 0 if grid == (1, 1) else grid[0] * grid[1]
    table = 2 * (canvas // 64) ** 2 + 2 * tiles * 100
    assert len(rows) == canvas_tokens(canvas) + (tile_tokens(grid) if tiles else 0)
    assert rows[-1] == table + 1
    mine, theirs = ([row for row in each if row < table] for each in (rows, others))
    assert len(set(mine)) == len(mine)
    assert not set(mine) & set(theirs)
    assert set(mine) | set(theirs) == set(range(table))
    assert rows.count(table) == canvas // 64 + (10 * grid[1] if tiles else 0), "a new line ends every row of patches"


def test_tiles_are_one_wide_picture():
    rows = page_rows(Ticket(0, 1, 1024, (2, 1)), 0, 1)
    first = rows[:21]
    assert first == [*range(256, 266), *range(356, 366), 256 + 200], "ten of each tile, then a new line"


def test_words_travel_and_come_back():
    ticket = Ticket(3, 77, 1024, (2, 3))
    assert Ticket.of(ticket.words) == ticket
    assert ticket.shape == Shape(1024, 6)


def test_several_join_at_once():
    door = Door(16, 0.5)
    assert not door.opens(places=3, running=500, window=512, now_s=0.0)
    assert not door.opens(places=15, running=400, window=512, now_s=0.4)
    assert door.opens(places=16, running=400, window=512, now_s=0.41)


def test_nobody_waits_longer_than_the_door_may_stay_shut():
    door = Door(16, 0.5)
    assert not door.opens(places=1, running=300, window=512, now_s=10.0)
    assert door.opens(places=1, running=300, window=512, now_s=10.6)
    assert not door.opens(places=1, running=300, window=512, now_s=10.7), "the next one's time begins anew"


def test_a_half_empty_batch_takes_everybody_at_once():
    assert Door(16, 0.5).opens(places=1, running=255, window=512, now_s=0.0)


class Running:
    def __init__(self, prompt, output=0):
        self.num_prompt_tokens, self.num_output_tokens = prompt, output


def test_no_more_pages_join_than_the_cache_will_hold_when_they_have_grown():
    room, waiting = Room(), [Running(900)] * 100
    capacity = 15_500  # ten pages of 900 + 600, and what is spared
    assert (room.places([], waiting, 1024, capacity), room.window) == (10, 10)
    running = [Running(900, 300)] * 10
    assert (room.places(running, waiting, 1024, capacity), room.window) == (0, 10)
    assert room.places(running[:9], waiting, 1024, capacity) == 1
    assert room.places(running[:9], [], 1024, capacity) == 0


def test_pages_that_end_one_after_the_other_make_room_for_each_other():
    waiting = [Running(900)] * 100
    together, spread = [Running(900, 300)] * 10, [Running(900, 60 * at) for at in range(10)]
    assert Room().places(together, waiting, 1024, 15_500) == 0
    assert Room().places(spread, waiting, 1024, 15_500) == 2


def test_the_peak_is_the_most_that_is_kept_at_any_moment():
    now, left = np.array([10.0, 20.0, 30.0]), np.array([5.0, 1.0, 10.0])
    moments = [sum(n + at for n, more in zip(now, left, strict=True) if at <= more) for at in range(12)]
    assert peak(now, left) == max(moments) == 63


def test_short_pages_leave_room_for_more_and_long_ones_for_fewer():
    room, waiting = Room(), [Running(100)] * 2000
    assert room.places([], waiting, 1024, 10**6) == 1024
    assert room.places([], waiting, 64, 10**6) == 64
    for _ in range(500):
        room.ended(6000)
    assert 150 < room.places([], waiting, 1024, 10**6) < 170
    assert room.window < 170


def test_what_is_longer_than_expected_already_counts_as_it_is():
    assert Room().places([Running(900, 8000)], [Running(900)], 8, 9500) == 0


def test_a_page_that_is_too_long_for_the_whole_cache_is_not_kept_out_for_ever():
    assert Room().places([], [Running(9000)], 8, 1000) == 1


def test_the_window_is_known_while_few_wait():
    room = Room()
    assert room.places([], [Running(900)], 1024, 155_000) == 1
    assert room.window == 100


class Output:
    def __init__(self, request_id, tokens, finish_reason=None):
        self.request_id, self.new_token_ids, self.finish_reason = request_id, tokens, finish_reason


def test_tokens_are_sent_once_with_the_end():
    def answer(*outputs):
        return SimpleNamespace(outputs=list(outputs), finished_requests=None, scheduler_stats=None)

    requests = {name: SimpleNamespace(_output_token_ids=[1, 2, 3, 4]) for name in "ab"}
    assert ended({0: answer(Output("a", [1]), Output("b", [9]))}, requests) == {}, "nobody is told of nothing"
    told = ended({0: answer(Output("a", [4], "stop"), Output("b", [8])), 1: answer(Output("b", [8]))}, requests)
    assert {client: [one.new_token_ids for one in of.outputs] for client, of in told.items()} == {0: [[1, 2, 3, 4]]}


@pytest.mark.parametrize(
    ("version", "known"), [("0.26.0", True), ("0.26.0+cpu", True), ("0.26.1", False), ("0.33.0", False)]
)
def test_only_versions_that_we_know_are_changed(version, known):
    assert fits(version) is known
