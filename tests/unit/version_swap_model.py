"""Explicit-state check of the swap: every interleaving of writers, crashes, redeliveries and one reader.

A point is (chunk, revision). The head is (revision, seen): the visible revision, and the highest one handled.
Each branch of `write` and `read` is one request of the store, done atomically; indexer/swap.py has a method for each.
A reader sees only its best few hits, as a search does: later letters score higher.
"""

from collections.abc import Iterator
from dataclasses import dataclass

DONE = "done"

Chunk = str
Contents = dict[int, tuple[Chunk, ...]]


@dataclass(frozen=True)
class World:
    points: frozenset[tuple[Chunk, int]]
    visible: int
    seen: int
    writers: tuple[tuple[int, object], ...]
    reader: tuple[str, int | None, int | None, tuple[tuple[Chunk, int], ...]]
    crashes: int


@dataclass(frozen=True)
class Explored:
    states: int
    wrong_ends: int
    left_over: int
    wrong_views: int
    stuck: int


def write(world: World, writer: tuple[int, object], contents: Contents) -> tuple[World, object]:
    """One atomic step of the writer of one revision: the world after it, and where the writer stands then."""
    r, at = writer
    want, points = contents[r], world.points
    if at == "compare":
        return world, _compared(world, r, contents)
    if isinstance(at, tuple) and at[0] == "confirm":
        whole = {c for c, v in points if v == at[1]} == set(contents[at[1]])
        return world, 0 if not whole else "sweep" if at[1] == r else ("mark", at[1])
    if isinstance(at, tuple):
        unmoved = world.visible == at[1] and world.seen < r
        return _with(world, seen=r) if unmoved else world, "compare"
    if isinstance(at, int):
        if at < len(want):
            return _with(world, points=points | {(want[at], r)}), at + 1
        return world, "raise" if {c for c, v in points if v == r} == set(want) else "compare"
    if at == "raise":
        return _with(world, visible=r, seen=r) if world.seen < r else world, "settle"
    if at == "settle":
        return world, ("sweep", world.visible, world.seen)
    raise AssertionError(at)


def _compared(world: World, r: int, contents: Contents) -> object:
    if world.visible == r:
        return ("confirm", r)
    if world.seen >= r:
        return ("sweep", world.visible, world.seen)
    return ("confirm", world.visible) if set(contents[world.visible]) == set(contents[r]) else 0


def step_writer(world: World, index: int, contents: Contents) -> World:
    r, at = world.writers[index]
    if at == "sweep":
        at = ("sweep", r, r)
    if isinstance(at, tuple) and at[0] == "sweep":
        _, visible, seen = at
        kept = frozenset(p for p in world.points if p[1] == visible or p[1] > seen)
        world, after = _with(world, points=kept), DONE
    else:
        world, after = write(world, (r, at), contents)
    return _moved(world, index, after)


def read(world: World, limit: int) -> World:
    """One atomic step of a search: best hits (of the pinned revision), then the head; again until it had not moved."""
    at, pin, before, hits = world.reader
    if at == "search":
        found = sorted(p for p in world.points if pin is None or p[1] == pin)[::-1][:limit]
        return _with(world, reader=("head", pin, before if pin is None else pin, tuple(found)))
    if all(v == world.visible for _, v in hits) and before == world.visible:
        return _with(world, reader=(DONE, world.visible, before, hits))
    return _with(world, reader=("search", world.visible, None, ()))


def successors(world: World, contents: Contents, limit: int) -> Iterator[World]:
    for index, (_, at) in enumerate(world.writers):
        if at == DONE:
            continue
        yield step_writer(world, index, contents)
        if world.crashes and at != "compare":  # it dies, and the record is delivered again
            yield _with(_moved(world, index, "compare"), crashes=world.crashes - 1)
    if world.reader[0] != DONE:
        yield read(world, limit)


def explore(contents: Contents, first: int, revisions: list[int], *, crashes: int, limit: int = 9) -> Explored:
    """Visit every state once and count what is wrong; `before` is first both unknown and known to the reader."""
    points = frozenset((chunk, first) for chunk in contents[first])
    writers = tuple((r, "compare") for r in revisions)
    stack = [World(points, first, first, writers, ("search", None, known, ()), crashes) for known in (None, first)]
    newest, visited = max([first, *revisions]), set()
    ends = left = views = stuck = 0
    while stack:
        world = stack.pop()
        if world in visited:
            continue
        visited.add(world)
        views += _wrong_view(world, contents, limit)
        if all(at == DONE for _, at in world.writers):
            ends += world.seen != newest or set(contents[world.visible]) != set(contents[newest])
            left += world.points != frozenset((chunk, world.visible) for chunk in contents[world.visible])
        else:
            stuck += not _ends_alone(world, contents)
        stack.extend(successors(world, contents, limit))
    return Explored(len(visited), ends, left, views, stuck)


def _wrong_view(world: World, contents: Contents, limit: int) -> bool:
    at, revision, _, hits = world.reader
    return at == DONE and tuple(c for c, _ in hits) != tuple(sorted(contents[revision or 0])[::-1][:limit])


def _ends_alone(world: World, contents: Contents) -> bool:
    """Every writer that is left to itself comes to an end."""
    for index in range(len(world.writers)):
        alone = world
        for _ in range(30):
            if alone.writers[index][1] == DONE:
                break
            alone = step_writer(alone, index, contents)
        else:
            return False
    return True


def _moved(world: World, index: int, at: object) -> World:
    r = world.writers[index][0]
    return _with(world, writers=(*world.writers[:index], (r, at), *world.writers[index + 1 :]))


def _with(world: World, **changes: object) -> World:
    return World(**{**world.__dict__, **changes})  # type: ignore[arg-type]  # names are checked by the class


CASES: list[tuple[str, Contents, int, list[int], int]] = [
    ("two revisions of one version", {1: ("a", "b"), 2: ("a", "x"), 3: ("a", "x", "y")}, 1, [2, 3], 2),
    ("the same record twice, and a newer one", {1: ("a", "b"), 2: ("a", "x"), 3: ("x", "y")}, 1, [2, 2, 3], 1),
    ("three writers", {1: ("a",), 2: ("x",), 3: ("a", "y"), 4: ("z",)}, 1, [2, 3, 4], 0),
    ("a deletion is newest", {1: ("a", "b"), 2: ("a", "x"), 3: ()}, 1, [2, 3], 2),
    ("the newest changes nothing", {1: ("a", "b"), 2: ("a", "x"), 3: ("a", "b")}, 1, [2, 3], 2),
    ("one that changes nothing, delivered twice", {1: ("a", "b"), 2: ("a", "b")}, 1, [2, 2], 2),
    ("two that change nothing, one that does", {1: ("a",), 2: ("a",), 3: ("x", "y"), 4: ("a",)}, 1, [2, 3, 4], 1),
    ("an old revision replayed", {1: ("a",), 2: ("b",), 3: ("c", "d")}, 3, [1, 2], 2),
]
