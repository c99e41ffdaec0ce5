"""Pieces become groups, one a chunk: filled from the front, headings and lead-ins kept with what follows them."""

import zlib
from collections.abc import Sequence

from chunking.cutting import Piece

SMALL_SHARE = 5
"""A last group under a fifth of the room takes pieces over from its neighbour."""
LONG_ROOMS = 6
SEAM_SHARE = 1 / 3
SEAM_ONE_IN = 4
"""In a section of many chunks a group that is a third full also ends before every fourth piece, chosen by its text:
after an insertion the cuts soon fall where they fell before, so that few chunks are embedded again."""

Group = list[Piece]


def packed(pieces: Sequence[Piece], room: int, *, first_room: int) -> list[Group]:
    """Every piece in one group, in order; no group over `room` tokens (`first_room` the first) unless one piece is."""
    is_long = weight(pieces) > LONG_ROOMS * room
    groups: list[Group] = []
    group: Group = []
    used = 0
    for piece in pieces:
        full = used + piece.tokens > (room if groups else first_room)
        seam = is_long and used >= SEAM_SHARE * room and _is_seam(piece)
        if group and (full or piece.opens or seam):
            kept, carried = _parted(group, room - piece.tokens)
            groups += [kept] if kept else []
            group, used = carried, weight(carried)
        group.append(piece)
        used += _weight(piece)
    if group:
        groups.append(group)
    return _evened(groups, room)


def weight(pieces: Sequence[Piece]) -> int:
    return sum(map(_weight, pieces))


def _weight(piece: Piece) -> int:
    """At least 1: text that a tokenizer ignores fills a chunk too."""
    return max(1, piece.tokens)


def _is_seam(piece: Piece) -> bool:
    return zlib.crc32(piece.text.encode()) % SEAM_ONE_IN == 0


def _parted(group: Group, room: int) -> tuple[Group, Group]:
    """The group, and the headings and lead-ins at its end that go over to the next one if there is room for them."""
    cut = len(group)
    while cut and group[cut - 1].binds:
        cut -= 1
    if cut == 0 or weight(group[cut:]) > room:
        return group, []
    return group[:cut], group[cut:]


def _evened(groups: list[Group], room: int) -> list[Group]:
    """A last group that is very small is filled from the one before it."""
    if len(groups) < 2 or groups[-1][0].opens:
        return groups
    before, last = groups[-2], groups[-1]
    enough = room // SMALL_SHARE
    cut = len(before)
    while weight(before[cut:] + last) < enough or (cut and before[cut - 1].binds):
        cut -= 1
        if cut < 1 or weight(before[cut:] + last) > room or weight(before[:cut]) < enough:
            return groups
    return [*groups[:-2], before[:cut], before[cut:] + last]
