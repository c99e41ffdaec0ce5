"""What a stranger wrote reaches a terminal as text, never as commands to it."""

import json

import pytest

from console import adding, cli, progress
from console.cli_dead import _line, _print_one
from console.cli_reading import _print_page
from console.options import Exit, print_json, say
from console.show import print_document, print_documents, print_hits
from console.shown import shown
from folio.errors import Cause
from folio.ids import Doc
from folio.legible import legible
from ledger.audit import DocumentStatus

HOSTILE = "b-c\x1b[31mtl\n\x9b2J\u202e报告"
ESCAPED = "b-c\\x1b[31mtl\\n\\x9b2J\\u202e报告"
COLOUR = "\x1b]0;owned\x07\x1b[2J"


def letter() -> dict[str, object]:
    said = dict.fromkeys(("document", "detail"), HOSTILE) | {"headers": {HOSTILE: HOSTILE}}
    facts = {"position": "pages/0/1", "stage": "ocr", "cause": "corrupt", "sentence": "s", "advice": "a"}
    return {**facts, **said, "page": 1, "version": 1, "count": 1, "redriven_ms": 0, "dead_ms": 0} | {
        "searchable_version": None,
        "there": True,
        "size_bytes": 1,
        "attempts": 1,
    }


def test_control_characters_of_ids_details_and_headers_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    _print_one(letter())
    printed = capsys.readouterr().out + _line(1, letter())
    assert is_harmless(printed)
    assert printed.count(ESCAPED) == 6


def is_harmless(printed: str) -> bool:
    return all(one.isprintable() or one == "\n" for one in printed)


def test_status_escapes_ids_causes_metadata_and_places(capsys: pytest.CaptureFixture[str]) -> None:
    one = DocumentStatus(
        doc=Doc(f"default/{HOSTILE}"),
        document=HOSTILE,
        version=7,
        state="failed",
        cause=Cause.CORRUPT,
        detail=HOSTILE,
        metadata={HOSTILE: HOSTILE},
        uri=HOSTILE,
        added_ms=0,
    )
    print_documents([one])
    print_document(one)
    printed = capsys.readouterr().out
    assert is_harmless(printed)
    assert printed.count(ESCAPED) >= 8


def test_search_escapes_names_headings_and_passages_and_leaves_their_scripts(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = {"document": HOSTILE, "pages": [1], "boxes": [], "headings": [HOSTILE], "metadata": {"a": COLOUR}}
    text = f"{COLOUR} 保修期\u3000三年\nof a so\u00adft hyphen"
    how = {"dense_rank": 1, "dense_score": 0.5, "terms": [COLOUR]}
    print_hits([{**found, "text": text, "flags": [COLOUR], "explanation": how}], "?", explain=True)
    printed = capsys.readouterr().out
    assert is_harmless(printed.replace("\u3000", "").replace("\u00ad", ""))
    assert printed.count(ESCAPED) == 2
    assert "\\x1b]0;owned\\x07\\x1b[2J 保修期\u3000三年\n" in printed


def test_add_page_and_talk_escape_too(capsys: pytest.CaptureFixture[str]) -> None:
    said = adding.line({"document": HOSTILE, "state": "failed", "cause": "corrupt", "detail": HOSTILE})
    said += "".join(progress.current([{"document": HOSTILE, "state": "reading", "pages_read": 1, "pages": 2}]))
    assert (said.count(ESCAPED), is_harmless(said)) == (3, True)
    _print_page({"status": "ok", "markdown": f"# A\n\n{COLOUR}", "source": "ocr", "flags": [COLOUR]}, "a", 1)
    say(COLOUR)
    printed = capsys.readouterr()
    assert is_harmless(printed.out + printed.err)
    assert printed.out == "# A\n\n\\x1b]0;owned\\x07\\x1b[2J\n"
    assert printed.err.count("owned") == 2


def test_errors_escape_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli._end(COLOUR, Exit.ERROR)
    assert capsys.readouterr().err == "folio: \\x1b]0;owned\\x07\\x1b[2J\n"


def test_json_is_what_it_is_of(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({HOSTILE: HOSTILE})
    assert json.loads(capsys.readouterr().out) == {HOSTILE: HOSTILE}


def test_a_name_hides_nothing_and_a_text_keeps_what_its_script_needs() -> None:
    assert shown("a\u200bb\u3000c") == "a\\u200bb\u3000c"
    assert legible("नि\u200dक\u200fb\tc\n\u2028\udc80") == "नि\u200dक\u200fb\tc\n\\u2028\\udc80"
