"""Every fail point of the code, found by reading it: the names in `with effect("...")`, and effects that have none."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
ROOMS = ("folio", "ingest", "ocr_stage", "ledger", "chunking", "indexer", "infra", "console")


def fail_points() -> list[str]:
    """`name:before` and `name:after` of every effect, sorted."""
    names = sorted({name for path in modules() for name in effects(path)})
    return [f"{name}:{when}" for name in names for when in ("before", "after")]


def modules() -> Iterator[Path]:
    return (path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py")))


def effects(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "effect":
            yield ast.literal_eval(node.args[0])


def bare_effects(path: Path) -> list[str]:
    """Durable effects outside of any `with effect(...)`: SQLite commits, renames, unlinks, index updates."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    wrapped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.With) and any(_is_effect(item.context_expr) for item in node.items)
        for inner in ast.walk(node)
    }
    return [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and id(node) not in wrapped and _is_durable(node)
    ]


def _is_effect(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "effect"


def _is_durable(call: ast.Call) -> bool:
    text = ast.unparse(call.func)
    if text.endswith((".execute", ".executescript")) and call.args:
        return ast.unparse(call.args[0]).strip("'\"").upper().startswith("COMMIT")
    return text in ("os.replace", "os.rename", "os.link") or text.endswith(
        ("connection.commit", "shard.update", "_shard.update", "points.update", "heads.update", "client.upsert", "client.delete")
    )
