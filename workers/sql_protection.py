"""Keep SQL tools to what is allowed: an allow-list over what each statement would do, whatever the database.

`allow: write`, the default, lets an agent read and change rows, since that is what it is given a database for, but not
drop or alter tables, nor change all rows of one at once. `read` is for agents that only answer questions.
What no database could run is denied as well: it cannot be shown to be harmless, and the database would refuse it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase, translate
from typing import TYPE_CHECKING, Literal

from msgspec import field

from luthien_stream.actions.arguments import arguments_of, as_shown, plain, strings
from luthien_stream.actions.known_tools import texts
from luthien_stream.policy import Allow, Context, Deny, ToolCall, ToolGate, Verdict

if TYPE_CHECKING:
    from luthien_stream.actions.sql.statement import Statement

# The reader of SQL takes 7 MB and 0.1 s to load: only where there is SQL.

FUNCTIONS = """
    pg_read_file pg_read_binary_file pg_ls_* pg_stat_file pg_file_* lo_* dblink* pg_sleep* pg_terminate_backend
    pg_cancel_backend pg_reload_conf pg_rotate_logfile pg_promote pg_switch_wal pg_logical_* pg_create_* pg_drop_*
    set_config setval query_to_xml* database_to_xml* table_to_xml* cursor_to_xml* schema_to_xml* copy_from_* copy_to_*
    load_file sleep benchmark get_lock sys_exec sys_eval sys_get sys_set lib_mysqludf_*
    xp_* sp_oa* sp_executesql sp_configure openrowset opendatasource openquery fn_xe_file* fn_get_audit_file
    load_extension readfile writefile fts3_tokenizer edit zipfile
    dbms_* utl_* httpuritype httpurltype ctxsys.* sys.* system$*
    file read_text read_blob url s3 hdfs remote remotesecure jdbc odbc executable
"""
"""Functions that read or write files, call out, run programs, wait, or run SQL given as text."""
TABLES = "mysql.user pg_shadow pg_authid pg_user_mapping* sys.sql_logins syslogins sys.user$ dba_users"
"""Tables with the passwords of the database's own users."""


class SqlProtection(ToolGate, dict=True):
    """Every statement of a call must be allowed; the agent is told `shown`, whatever the reason."""

    allow: Literal["read", "write", "ddl"] = "write"
    dialect: str = ""
    """As sqlglot names it (`postgres`, `mysql`, `sqlite`, `tsql`, ...). Without one, several are tried."""
    arguments: dict[str, str] = field(default_factory=dict)
    """More tools (globs) that take SQL, and the argument that has it."""
    deny_tables: tuple[str, ...] = tuple(TABLES.split())
    deny_functions: tuple[str, ...] = tuple(FUNCTIONS.split())
    """Globs, without case; a table's with or without its schema."""
    where_required: bool = True
    """Deny an UPDATE or DELETE of all rows."""
    shown: str = "This SQL statement is not allowed here."

    def __post_init__(self) -> None:
        if self.dialect:
            _check(self.dialect)
        self._tables, self._functions = _any_of(self.deny_tables), _any_of(self.deny_functions)

    async def check(self, call: ToolCall, ctx: Context) -> Verdict:
        """Deny a call with a statement that goes too far."""
        found = list(self._texts(call))
        return self._decide(found) if found else Allow()

    def _decide(self, found: Iterable[str]) -> Verdict:
        from luthien_stream.actions.sql.read import Unreadable, statements

        count = 0
        for text in found:
            try:
                made = statements(text, self.dialect)
            except Unreadable as error:
                return Deny(str(error), self.shown)
            for statement in made:
                if reason := self._objection(statement):
                    return Deny(reason, self.shown)
            count += len(made)
        return Allow(f"{count} statements" if count else "")

    def _texts(self, call: ToolCall) -> Iterator[str]:
        yield from texts(call, "sql")
        for tool, argument in self.arguments.items():
            if fnmatchcase(call.name, tool):
                for read in map(arguments_of, as_shown(call)):
                    for value in [*read.values({plain(argument)}), *read.whole]:
                        yield from strings(value)

    def _objection(self, statement: Statement) -> str:
        """Why a statement may not run, empty if it may."""
        from luthien_stream.actions.sql.statement import Level

        if statement.level > Level[self.allow.upper()]:
            return f"{statement.what} goes beyond {self.allow}"
        for function in statement.functions:
            if self._functions.match(function):
                return f"function {function}"
        for table in statement.tables:
            if self._tables.match(table) or self._tables.match(table.rpartition(".")[2]):
                return f"table {table}"
        if statement.unbounded and self.where_required:
            return f"{statement.what} of all rows"
        return ""


def _check(dialect: str) -> None:
    from luthien_stream.actions.sql.read import known_dialects

    if dialect not in known_dialects():
        raise ValueError(f"`dialect` must be one of {', '.join(sorted(known_dialects()))}")


def _any_of(globs: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(translate(glob.casefold()) for glob in globs) or r"(?!)")
