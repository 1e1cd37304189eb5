"""What one parsed statement would do: read, write, change the shape of data, or something else.

An allow-list: what is not known to be harmless counts as the worst.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import IntEnum

from msgspec import Struct
from sqlglot import exp

from luthien_stream.actions.sql.where import is_unbounded, takes_all


class Level(IntEnum):
    """How far a statement goes."""

    READ = 0
    WRITE = 1
    """Rows of tables."""
    DDL = 2
    """Tables and views themselves."""
    OTHER = 3
    """Users, grants, procedures, files, programs, the server, and everything unknown."""


class Statement(Struct, frozen=True):
    """What one statement would do. Nothing here has literals of it."""

    level: Level
    what: str
    """Its kind, such as `DROP TABLE`."""
    tables: tuple[str, ...] = ()
    """As written, with their schema where that is given, in lower case."""
    functions: tuple[str, ...] = ()
    unbounded: bool = False
    """True for an UPDATE, DELETE or MERGE of every row."""


_ROOTS: dict[type[exp.Expr], Level] = {
    exp.Query: Level.READ,
    exp.Values: Level.READ,
    exp.Show: Level.READ,
    exp.Describe: Level.READ,
    exp.Summarize: Level.READ,
    exp.Pivot: Level.READ,
    exp.Pragma: Level.READ,
    exp.Use: Level.READ,
    exp.Transaction: Level.READ,
    exp.Commit: Level.READ,
    exp.Rollback: Level.READ,
    exp.Declare: Level.READ,
    exp.Semicolon: Level.READ,
}
_INSIDE: dict[type[exp.Expr], Level] = {
    exp.Insert: Level.WRITE,
    exp.Update: Level.WRITE,
    exp.Delete: Level.WRITE,
    exp.Merge: Level.WRITE,
    exp.Lock: Level.WRITE,
    exp.Create: Level.DDL,
    exp.Drop: Level.DDL,
    exp.Alter: Level.DDL,
    exp.TruncateTable: Level.DDL,
    exp.Comment: Level.DDL,
    exp.Analyze: Level.DDL,
    exp.Refresh: Level.DDL,
    exp.Into: Level.DDL,
    exp.Set: Level.OTHER,
    exp.Copy: Level.OTHER,
    exp.Command: Level.OTHER,
    exp.Execute: Level.OTHER,
}
"""What counts wherever it stands: a changing CTE hides in a SELECT."""
_TELLING = (
    *_INSIDE,
    *(exp.Alias, exp.TableAlias, exp.SetOperation, exp.Pragma, exp.Use, exp.Table, exp.Identifier),
)
"""What is looked at in a tree; all else says nothing by itself."""
_SHAPES = frozenset(("TABLE", "VIEW", "INDEX", "SEQUENCE", "TYPE", "COLUMN", "SCHEMA", "CONSTRAINT"))
_COMMANDS = {"SHOW": Level.READ, "REPLACE": Level.WRITE, "RENAME": Level.DDL, "VACUUM": Level.DDL, "REINDEX": Level.DDL}
_PRAGMAS = re.compile(
    r"(?:table|index)_x?(?:info|list)|foreign_key_(?:list|check)|(?:database|collation|function|module|pragma)_list"
    r"|compile_options|(?:integrity|quick)_check|(?:user|schema)_version|page_(?:count|size)|encoding|freelist_count"
    r"|database_size|show_tables|storage_info|version"
)
_PRAGMA_NAMES = re.compile(
    _PRAGMAS.pattern
    + r"|foreign_keys|journal_mode|synchronous|auto_vacuum|cache_size|busy_timeout|query_only|temp_store"
)
"""Settings that are only shown where no value is given."""
_SETTINGS = re.compile(
    r"(?:session\s+|local\s+)?(?:nocount|names|search_path|statement_timeout|lock_timeout|dateformat|language|time_?zone"
    r"|time\s+zone|transaction\s+(?:read\s+only|isolation)|@\w+)\b.*",
    re.IGNORECASE | re.DOTALL,
)
_FUNCTION = re.compile(r"([\w.]+)[\"`\]]?(?:\s|/\*.*?\*/)*\(", re.DOTALL)


def statement_of(root: exp.Expr, called: Sequence[str]) -> Statement:
    """What a statement does; `called` are names with a bracket behind."""
    level = next((level for kind, level in _ROOTS.items() if isinstance(root, kind)), Level.OTHER)
    level, what = max(level, _level(root)) if level is Level.READ else _level(root, level), _what(root)
    only_planned = isinstance(root, exp.Describe) and not root.text("style").upper().startswith("ANALY")
    tables: list[str] = []
    functions = list(called)
    unbounded = False
    for node in root.walk():
        if not isinstance(node, _TELLING):
            continue
        inside = _level(node)
        if inside > level and not only_planned:
            level, what = inside, _what(node)
        match node:
            case exp.Table():
                tables.append(".".join(part.name for part in node.parts).casefold())
            case exp.Update() | exp.Delete() if not isinstance(node.parent, exp.When):
                unbounded = unbounded or (is_unbounded(node) and not only_planned)
            case exp.Merge():
                unbounded = unbounded or (takes_all(node) and not only_planned)
            case exp.Command():
                functions += [name.casefold() for name in _FUNCTION.findall(node.text("expression"))]
                tables += [name.casefold() for name in re.findall(r"[\w.]+", node.text("expression"))]
            case exp.Identifier() if isinstance(root, exp.Show | exp.Describe | exp.Pragma):
                tables.append(node.name.casefold())
    return Statement(level, what, tuple(tables), tuple(functions), unbounded)


def _level(node: exp.Expr, unknown: Level = Level.READ) -> Level:
    """How far a node goes by itself; `unknown` for one that is in no table."""
    match node:
        case exp.Create() | exp.Drop() | exp.Alter() if str(node.args.get("kind") or "").upper() not in _SHAPES:
            return Level.OTHER
        case exp.Into() if isinstance(node.this.this, exp.Parameter | exp.SessionParameter):
            return Level.READ
        case exp.Command():
            known = Level.READ if _is_setting(node) else Level.OTHER
            return _COMMANDS.get(node.name.upper(), known)
        case exp.Set():
            return Level.READ if all(map(_is_harmless, node.expressions)) else Level.OTHER
        case exp.Pragma():
            named = node.this.expression if isinstance(node.this, exp.Dot) else node.this
            shown = _PRAGMAS if isinstance(named, exp.Anonymous) else _PRAGMA_NAMES
            is_look = not isinstance(named, exp.EQ) and shown.fullmatch(named.name.casefold())
            return Level.READ if is_look else Level.OTHER
        case exp.Use() if node.args.get("kind"):
            return Level.OTHER
        case exp.Copy():
            to = node.args.get("files") or ()
            is_out = not node.args.get("kind") and [one.name.upper() for one in to] == ["STDOUT"]
            return Level.READ if is_out else Level.OTHER
        case exp.SetOperation() if not (isinstance(node.left, _SETS) and isinstance(node.right, _SETS)):
            return Level.OTHER  # the rest of an injected query, not one
        case exp.Alias() | exp.TableAlias() if _is_verb(node):
            return Level.OTHER  # T-SQL needs no semicolon before the next statement
    return _INSIDE.get(type(node), unknown)


def _is_verb(node: exp.Alias | exp.TableAlias) -> bool:
    """True for an alias that could begin a statement."""
    name = node.args.get("alias") if isinstance(node, exp.Alias) else node.this
    return isinstance(name, exp.Identifier) and not name.args.get("quoted") and name.name.upper() in _VERBS


def _is_setting(node: exp.Command) -> bool:
    return node.name.upper() == "SET" and _SETTINGS.fullmatch(node.text("expression").strip()) is not None


def _is_harmless(item: exp.Expr) -> bool:
    """True for a variable of this session that changes no data and no rights."""
    kind = str(item.args.get("kind") or "").upper()
    if kind in ("NAMES", "CHARACTER SET", "TRANSACTION"):
        return True
    name = item.this.this if isinstance(item.this, exp.EQ) else item.this
    if kind not in ("", "SESSION", "LOCAL", "VARIABLE"):
        return False
    return isinstance(name, exp.Parameter) or _SETTINGS.fullmatch(name.name) is not None


def _what(node: exp.Expr) -> str:
    match node:
        case exp.Create() | exp.Drop() | exp.Alter():
            return f"{type(node).__name__.upper()} {node.args.get('kind') or ''}".strip()
        case exp.Command():
            return node.name.upper()
        case exp.Alias() | exp.TableAlias():
            return node.alias_or_name.upper()
        case exp.Into():
            return "SELECT INTO"
    return _SPELLED.get(type(node), type(node).__name__.upper())


_VERBS = frozenset(
    ("SHUTDOWN", "RECONFIGURE", "DELETE", "UPDATE", "INSERT", "MERGE", "DROP", "TRUNCATE", "CREATE", "ALTER", "EXEC")
) | {"EXECUTE", "GRANT", "REVOKE", "DENY", "KILL", "BACKUP", "RESTORE", "BULK", "DBCC", "WAITFOR", "REVERT"}
_SETS = (exp.Query, exp.Values, exp.Table)
_SPELLED: dict[type, str] = {exp.TruncateTable: "TRUNCATE", exp.Lock: "SELECT FOR UPDATE"}
