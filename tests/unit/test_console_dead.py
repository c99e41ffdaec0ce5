"""What a stranger wrote reaches a terminal as text, never as commands to it."""

import pytest

from console.cli_dead import _line, _print_one

HOSTILE = "b-c\x1b[31mtl\n\x9b2J\u202e报告"


def letter() -> dict[str, object]:
    said = dict.fromkeys(("document", "detail"), HOSTILE) | {"headers": {HOSTILE: HOSTILE}}
    facts = {"position": "pages/0/1", "stage": "ocr", "cause": "corrupt", "sentence": "s", "advice": "a"}
    return {**facts, **said, "page": 1, "version": 1, "count": 1, "redriven_ms": 0, "dead_ms": 0} | {
        "there": True,
        "size_bytes": 1,
        "attempts": 1,
    }


def test_control_characters_of_ids_details_and_headers_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    _print_one(letter())
    printed = capsys.readouterr().out + _line(1, letter())
    assert all(one.isprintable() or one == "\n" for one in printed)
    assert printed.count("b-c\\x1b[31mtl\\n\\x9b2J\\u202e报告") == 6
