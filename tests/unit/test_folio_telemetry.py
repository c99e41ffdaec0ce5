"""The lines that folio logs."""

import pytest
import structlog

from folio.telemetry import configure, log


@pytest.mark.parametrize("json", [False, True])
def test_what_a_stranger_wrote_steers_no_terminal(json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        configure(json=json)
        log().warning("ocr.prompt", prompt="red \x1b[31m, a bell \x07, turned \u202e, and plain: ü 中\ttab")
        line = capsys.readouterr().err
    finally:
        structlog.reset_defaults()
    assert not [one for one in line if one in "\x1b\x07\u202e"]
    assert "u202e" in line
    assert "ocr.prompt" in line
