"""Every fail point of the code, found by reading it: the names in `with effect("...")`, and effects that have none."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DURABLE = {
    "infra/sqlite_files.py": (".execute('COMMIT')", ".executescript"),
    "infra/folder_blobs.py": (".rename",),
    "infra/kafka_log.py": (".gather",),
    "infra/kafka_reader.py": ("consumer.commit",),
    "infra/kafka_topics.py": ("._create", "._alter", ".alter_group_offsets", ".delete_records"),
    "ledger": ("transaction", "blobs.put", "log.append"),
    "indexer/swap.py": ("store.upsert", "store.raise_head", "store.sweep", "store.flush"),
    "indexer/stage.py": ("store.upsert", "store.raise_head", "store.sweep", "store.flush"),
    "indexer/giving.py": ("store.set_vectors",),
    "indexer/embed_stage.py": ("store.flush",),
    "ocr_stage": ("blobs.put", "log.append"),
    "ingest": ("blobs.put", "log.append"),
}
"""Calls that change what lies on disk, by where they are made; what is behind a port is named by its callers."""

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
    """Durable effects outside of any `with effect(...)`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    wrapped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.With) and any(_is_effect(item.context_expr) for item in node.items)
        for inner in ast.walk(node)
    }
    where = path.relative_to(ROOT).as_posix()
    endings = next((calls for place, calls in DURABLE.items() if where.startswith(place)), ())
    return [
        f"{where}:{node.lineno}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and id(node) not in wrapped and _text(node).endswith(endings or ("\0",))
    ]


def _text(call: ast.Call) -> str:
    """`db.execute('COMMIT')` for SQL, else the called name alone."""
    name = ast.unparse(call.func)
    return ast.unparse(call) if name.endswith(".execute") else name


def _is_effect(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "effect"
