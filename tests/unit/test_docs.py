"""What the pages for people name is there: links, settings, commands, causes."""

import re
from pathlib import Path

import pytest
import typer

from console.cli import app
from folio.errors import Cause
from folio.settings import known_keys

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")]
TEXTS = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in PAGES}
SECTIONS = {key.partition(".")[0] for key in known_keys() if "." in key}
ENDINGS = {"md", "py", "toml"}
COMMAND = re.compile(r"(?:`|\$ |bin/)folio ([a-z]+)(?: ([a-z]+))?")


def anchors(text: str) -> set[str]:
    return {
        re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }


@pytest.mark.parametrize("name", TEXTS)
def test_every_relative_link_leads_somewhere(name: str) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)\s]+)\)", TEXTS[name]):
        path, _, anchor = link.partition("#")
        there = ((ROOT / name).parent / path).resolve() if path else ROOT / name
        assert there.exists(), link
        assert not anchor or anchor in anchors(there.read_text(encoding="utf-8")), link


@pytest.mark.parametrize("name", TEXTS)
def test_every_setting_that_is_named_exists(name: str) -> None:
    dotted = {f"{section}.{key}" for section, key in re.findall(r"`([a-z]+)\.([a-z_]+)(?=[` =])", TEXTS[name])}
    named = {key for key in dotted if key.split(".")[0] in SECTIONS and key.split(".")[1] not in ENDINGS}
    variables = {
        "__".join(found).lower().replace("__", ".") for found in re.findall(r"FOLIO_([A-Z]+)__([A-Z_]+)", TEXTS[name])
    }
    assert sorted((named | variables) - set(known_keys())) == []


@pytest.mark.parametrize("name", TEXTS)
def test_every_command_that_is_named_exists(name: str) -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for first, second in COMMAND.findall(TEXTS[name]):
        assert first in commands, f"folio {first}"
        below = getattr(commands[first], "commands", {})
        assert not below or not second or second in below, f"folio {first} {second}"


def test_every_cause_is_explained_in_a_table() -> None:
    rows = re.findall(r"^\| (`[a-z_`, ]+`) \|", "".join(TEXTS.values()), re.MULTILINE)
    assert sorted(set(Cause) - set(re.findall(r"\w+", " ".join(rows)))) == []
