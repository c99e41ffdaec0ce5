"""The shape that keeps the code readable: sizes, docstrings, names, and no finished-looking stubs."""

import ast
import gc
import importlib.metadata
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("folio", "ingest", "ocr_stage", "ledger", "chunking", "indexer", "quality", "infra", "console")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 50
PARAMETERS_MAX = 6
NESTING_MAX = 3
BANNED = {"manager", "handler", "helper", "util", "utils", "common", "base", "data", "info", "misc", "core"}
UNFINISHED = re.compile(r"TODO|FIXME|XXX|NotImplementedError|pragma: no cover|# type: ignore$")

Function = ast.FunctionDef | ast.AsyncFunctionDef
every_module = pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))


@pytest.fixture(autouse=True)
def _nothing_is_collected_while_modules_are_parsed() -> Iterator[None]:
    """What the collector finds may print a traceback, for which CPython 3.11 parses, and the outer parse fails then."""
    gc.disable()
    yield
    gc.enable()


def functions(path: Path) -> Iterator[Function]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def body_lines(function: Function) -> int:
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def nesting(node: ast.AST, depth: int = 0) -> int:
    """Loops, conditions and tries inside each other; an elif is not deeper than its if, a with does not count."""
    deepest = depth
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST) or isinstance(child, Function):
                continue
            is_elif = isinstance(node, ast.If) and name == "orelse" and isinstance(child, ast.If) and len(value) == 1
            opens = isinstance(child, ast.For | ast.AsyncFor | ast.While | ast.If | ast.Try) and not is_elif
            deepest = max(deepest, nesting(child, depth + opens))
    return deepest


@every_module
def test_a_module_is_short_and_opens_with_what_it_is_for(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MODULE_LINES_MAX
    assert ast.get_docstring(ast.parse(text)), "the first line of a module says what it is for"


@every_module
def test_functions_are_short_flat_and_take_few_parameters(path: Path) -> None:
    for function in functions(path):
        arguments = function.args
        count = (
            len(arguments.args) + len(arguments.kwonlyargs) - (bool(arguments.args) and arguments.args[0].arg == "self")
        )
        where = f"{path.name}:{function.lineno} {function.name}"
        decorators = {ast.unparse(decorator) for decorator in function.decorator_list}
        is_command = any("command" in decorator for decorator in decorators)
        is_kernel = "triton.jit" in decorators  # its strides and block sizes have no other way in
        assert body_lines(function) <= FUNCTION_LINES_MAX, where
        assert count <= PARAMETERS_MAX or is_command or is_kernel, where
        assert nesting(function) <= NESTING_MAX, where


@every_module
def test_names_use_the_vocabulary(path: Path) -> None:
    names = {path.stem} | {
        node.name
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, Function | ast.ClassDef)
    }
    words = {word for name in names for word in re.findall(r"[a-z]+", re.sub(r"([A-Z])", r" \1", name).lower())}
    assert not words & BANNED


@every_module
def test_nothing_is_left_unfinished(path: Path) -> None:
    assert not UNFINISHED.search(path.read_text(encoding="utf-8"))


def test_half_of_all_functions_have_at_most_eight_lines() -> None:
    sizes = sorted(body_lines(function) for path in MODULES for function in functions(path))
    assert sizes[len(sizes) // 2] <= 8


def test_no_other_distribution_ships_our_import_names() -> None:
    owners = importlib.metadata.packages_distributions()
    assert [name for name in PACKAGES if set(owners.get(name, [])) - {"folio"}] == []


def test_version_and_changelog_agree() -> None:
    from folio import __version__

    assert importlib.metadata.version("folio") == __version__
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
