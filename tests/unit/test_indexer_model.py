"""The swap's model: nothing is ever wrong in any interleaving, and the model does notice what would be."""

import pytest

from tests.unit import version_swap_model as model

IDS = [name for name, *_ in model.CASES]


@pytest.mark.parametrize("limit", [9, 1], ids=["all hits", "the best hit"])
@pytest.mark.parametrize(("contents", "first", "revisions", "crashes"), [case[1:] for case in model.CASES], ids=IDS)
def test_every_interleaving_ends_right_and_shows_no_mix(contents, first, revisions, crashes, limit):
    found = model.explore(contents, first, revisions, crashes=crashes, limit=limit)
    assert found.states > 100
    assert (found.wrong_ends, found.left_over, found.wrong_views, found.stuck) == (0, 0, 0, 0)


def test_a_reader_that_trusts_its_first_look_would_be_caught(monkeypatch: pytest.MonkeyPatch):
    real = model.read
    _, contents, first, revisions, crashes = model.CASES[0]

    def first_look(world, limit):
        at, pin, _, hits = world.reader
        return real(model._with(world, reader=(at, pin, world.visible, hits)) if at == "head" else world, limit)

    monkeypatch.setattr(model, "read", first_look)
    assert model.explore(contents, first, revisions, crashes=crashes, limit=1).wrong_views


def test_a_writer_that_raises_unconditionally_would_be_caught(monkeypatch: pytest.MonkeyPatch):
    real = model.write

    def careless(world, writer, contents):
        r, at = writer
        return (model._with(world, visible=r, seen=r), "settle") if at == "raise" else real(world, writer, contents)

    monkeypatch.setattr(model, "write", careless)
    _, contents, first, revisions, crashes = model.CASES[0]
    assert model.explore(contents, first, revisions, crashes=crashes).wrong_ends


def test_a_writer_that_does_not_know_its_own_mark_would_be_stuck(monkeypatch: pytest.MonkeyPatch):
    real = model._compared

    def forgetful(world, r, contents):
        if world.seen == r != world.visible and set(contents[world.visible]) == set(contents[r]):
            return ("confirm", world.visible)
        return real(world, r, contents)

    monkeypatch.setattr(model, "_compared", forgetful)
    _, contents, first, revisions, crashes = model.CASES[5]
    assert model.explore(contents, first, revisions, crashes=crashes).stuck
