"""What the tools of the common agents do, and which of their arguments says it.

Agents: Claude Code, Codex, opencode, aider's and Gemini's command lines, Cline, Roo, OpenHands, SWE-agent, Cursor,
Windsurf, Copilot, Goose, LangChain, the usual MCP servers. A tool that nobody knows is told by its arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from re import findall
from typing import Literal

import msgspec

from luthien_stream.actions.arguments import Arguments, arguments_of, as_shown, clean, joined, plain, strings
from luthien_stream.actions.patch import patched
from luthien_stream.actions.sounds import is_sql, may_be_sql
from luthien_stream.events.answer import ToolCall

Use = Literal["shell", "code", "sql", "write", "read", "fetch", "search"]
"""`shell` gives commands, `code` programs in another language, `sql` statements, `write` and `read` paths, `fetch`
URLs or text with some, `search` queries."""

TOOLS: dict[Use, str] = {
    "shell": """
        bash sh zsh shell terminal powershell pwsh exec exec_command execute_command run_command run_shell_command
        shell_command local_shell execute_bash bash_command bash_tool bash_code_execution run_terminal_cmd
        run_terminal_command run_in_terminal write_stdin run_commands run_bash shell_tool shell_exec shell_execute
        start_process interact_with_process execute_shell run_shell command_line container.exec cmd ssh_exec execute
        create_and_run_task write_to_terminal send_keys terminal_command run_cmd execute_shell_command
    """,
    "code": """
        python ipython python_repl python_repl_ast execute_ipython_cell python_interpreter run_python execute_python
        execute_python_code code_execution code_interpreter execute_code run_code run_javascript node_repl run_cell
        notebook_run_cell jupyter repl
    """,
    "sql": """
        query sql run_sql run_sql_query execute_sql exec_sql execute_sql_query sql_query query_sql sql_db_query
        read_query write_query create_table alter_table execute_query run_query db_query query_db
        query_database database_query run_database_query mysql_query postgres_query pg_query sqlite_query
        query_postgres query_mysql query_sqlite execute_statement run_statement apply_migration query_snowflake
        run_snowflake_query query_bigquery bigquery_query duckdb_query query_duckdb clickhouse_query
        run_select_query execute_postgresql execute_mysql run_sql_file
    """,
    "write": """
        write edit multi_edit multiedit notebook_edit edit_notebook edit_notebook_file write_file edit_file replace
        create_file delete_file apply_patch patch write_to_file replace_in_file apply_diff insert_content
        search_and_replace search_replace str_replace_editor str_replace_based_edit_tool str_replace_based_edit
        text_editor text_editor_code_execution replace_file_content replace_string_in_file insert_edit_into_file
        multi_replace_string_in_file create_new_file edit_existing_file move_file rename_file str_replace_file
        file_write save_file append_file append_to_file file_writer create move_path copy_path copy_file remove_file
        create_directory new_file insert_code multi_replace_file_content write_files str_replace overwrite_file
    """,
    "read": """
        read read_file view view_file cat open_file read_many_files read_files read_text_file read_multiple_files
        get_file_contents ls list_dir list_directory file_read notebook_read view_image
    """,
    "fetch": """
        web_fetch webfetch fetch fetch_url fetch_webpage read_url_content requests_get requests_post requests_put
        requests_patch requests_delete http_request http_get http_post browser_action browser browser_navigate
        navigate_browser navigate navigate_page puppeteer_navigate playwright_navigate browse open_url download
        download_file scrape scrape_url crawl firecrawl_scrape firecrawl_crawl read_url get_url curl open_browser_page
    """,
    "search": """
        web_search websearch google_web_search google_search brave_web_search tavily_search duckduckgo_search
        search search_web grep glob codebase_search file_search grep_search search_files find list_files code_search
        tool_search semantic_search search_code
    """,
}
_COMMANDS = "command cmd commandline shellcommand bashcommand shell bash argv cmdline shellscript powershell"
ARGUMENTS: dict[Use, str] = {
    "shell": f"{_COMMANDS} commands script chars keystrokes input code",
    "code": "code source script program query input snippet newsource python javascript command",
    "sql": "sql query statement statements queries sqlquery sqlstatement sqlqueries command arg1 input code script",
    "write": """path paths filepath filepaths filename file files absolutepath relativepath relativeworkspacepath
        targetfile targetpath destination destinationpath dest notebookpath newpath oldpath source movepath uri
        outputpath directorypath""",
    "read": "path paths filepath filepaths filename file files absolutepath targetfile notebookpath uri",
    "fetch": "url urls uri link links href endpoint address baseurl prompt input location",
    "search": "query queries q pattern searchterm searchquery prompt input",
}
"""Names of arguments, in plain form, that say it in a known tool."""
TELLING: dict[Use, str] = {
    "shell": f"{_COMMANDS} commands script",
    "code": "code pythoncode",
    "sql": "sql sqlquery sqlstatement sqlqueries query statement queries statements q",
    "write": "path filepath filename targetfile absolutepath notebookpath uri file",
    "fetch": "url urls href",
}
"""Names of arguments that tell what an unknown tool does."""
_CONTENTS = """content contents text filetext newstr newstring newsource diff patch edits data body codeedit
    replacement insertline newcontent filecontent"""
_PATCHES = frozenset(("input", "patch", "patchtext", "diff", "arg1", "command", "cmd", "content"))
_LOOKS = frozenset(("view", "view_range", "read", "list"))
_ALWAYS_SQL = frozenset(("sql", "sqlquery", "sqlstatement", "sqlqueries"))
_DEEPEST = 4
"""Calls in calls (`batch`) that are unwrapped."""


def uses(call: ToolCall) -> frozenset[Use]:
    """What a call does as far as its kind and its name tell; empty for a tool that nobody knows."""
    match call.kind:
        case "shell" | "local_shell":
            return frozenset(("shell",))
        case "apply_patch":
            return frozenset(("write",))
        case "computer" | "tool_search":
            return frozenset(("search",))
    return _named(call.name)


def texts(call: ToolCall, use: Use) -> list[str]:
    """What a call would do of this kind: commands, statements, paths, URLs; empty if nothing. Never raises.

    Of a known tool whose arguments cannot be read, all of them are given, so that nothing hides there.
    """
    calls = (one for shown in as_shown(call) for one in unwrapped(shown))
    return list(dict.fromkeys(found for one in calls for found in _texts(one, use) if found.strip()))


def unwrapped(call: ToolCall, depth: int = _DEEPEST) -> Iterator[ToolCall]:
    """The call, and the calls that it carries: `batch`, `multi_tool_use.parallel`, a proxy of MCP servers."""
    yield call
    if depth and ("tool" in call.arguments or "recipient_name" in call.arguments):
        for name, arguments in _inner(arguments_of(call).fields):
            yield from unwrapped(ToolCall(call.id, name, arguments), depth - 1)


def _texts(call: ToolCall, use: Use) -> Iterable[str]:
    known = uses(call)
    arguments = arguments_of(call)
    if not known or (use == "sql" and "sql" not in known):
        return _told(arguments, use, "search" in known)
    if use not in known or (use == "write" and _only_looks(arguments)):
        return ()
    found = _FINDERS.get(use, _plainly)(arguments, use)
    return found or [text for text in arguments.strings() if use != "sql" or is_sql(text)]


def _told(arguments: Arguments, use: Use, searches: bool) -> Iterable[str]:
    """What the arguments tell of a tool whose name does not."""
    names = _names(TELLING, use)
    match use:
        case "shell":
            return _commands(arguments, use, names)
        case "sql":
            always = [text for value in arguments.values(_ALWAYS_SQL) for text in strings(value)]
            others = () if searches else arguments.values(names - _ALWAYS_SQL)
            return [*always, *(text for value in others for text in strings(value) if is_sql(text))]
        case "write" if not any(True for _ in arguments.values(_names_of(_CONTENTS))):
            return ()
    return [text for value in arguments.values(names) for text in strings(value)]


def _plainly(arguments: Arguments, use: Use) -> list[str]:
    return [text for value in arguments.values(_names(ARGUMENTS, use)) for text in strings(value)] + [*arguments.whole]


def _commands(arguments: Arguments, use: Use, names: frozenset[str] | None = None) -> list[str]:
    several = {"commands"}
    names = (names or _names(ARGUMENTS, use)) - several
    found = [text for value in arguments.values(names) for text in joined(value)]
    found += [text for value in arguments.values(several) for text in strings(value)]
    words = [text for value in arguments.values({"args", "arguments"}) for text in joined(value)]
    if words and len(found) == 1:  # a program, and apart from it what it is given
        found = [" ".join((*found, *words))]
    return [*found, *arguments.whole]


def _statements(arguments: Arguments, use: Use) -> list[str]:
    always = [text for value in arguments.values(_ALWAYS_SQL) for text in strings(value)]
    return always + [text for text in _plainly(arguments, use) if may_be_sql(text)]


def _written(arguments: Arguments, use: Use) -> list[str]:
    patches = [path for value in arguments.values(_PATCHES) for text in strings(value) for path in patched(text)]
    whole = [path for text in arguments.whole for path in (patched(text) or [text])]
    named = [text for value in arguments.values(_names(ARGUMENTS, use)) for text in _paths(value)]
    return named + patches + whole


def _only_looks(arguments: Arguments) -> bool:
    """True for what an editor's tool calls a command that changes nothing."""
    done = [text for value in arguments.values({"command"}) for text in strings(value)]
    return bool(done) and _LOOKS.issuperset(done)


def _paths(value: object) -> Iterator[str]:
    """Paths that a value says; of objects (`files: [{path, content}]`) only what they call so."""
    if isinstance(value, dict):
        for one in Arguments(value).values(_names(ARGUMENTS, "write")):
            yield from _paths(one)
    elif isinstance(value, list):
        for one in value:
            yield from _paths(one)
    else:
        yield from strings(value)


_FINDERS: dict[Use, Callable[[Arguments, Use], list[str]]] = {
    "shell": _commands,
    "sql": _statements,
    "write": _written,
}


def _inner(fields: object) -> Iterator[tuple[str, str]]:
    """Name and arguments (JSON text) of the calls in a call's arguments."""
    if isinstance(fields, list):
        for one in fields:
            yield from _inner(one)
    elif isinstance(fields, dict):
        names = [n for key in ("recipientname", "toolname", "tool", "name") for n in fields.get(key, ())]
        given = [a for key in ("parameters", "arguments", "args", "input") for a in fields.get(key, ())]
        for name in names:
            for arguments in given if isinstance(name, str) else ():
                text = arguments if isinstance(arguments, str) else msgspec.json.encode(_flat(arguments)).decode()
                yield clean(name), text
        for value in fields.values():
            yield from _inner(value)


def _flat(value: object) -> object:
    """Fields as JSON again: of names given twice the values stand in a list."""
    match value:
        case dict():
            return {name: _flat(one[0]) if len(one) == 1 else _flat(one) for name, one in value.items()}
        case list():
            return [_flat(one) for one in value]
        case str():
            return clean(value)
    return value


def _index() -> dict[str, frozenset[Use]]:
    found: dict[str, frozenset[Use]] = {}
    for use, names in TOOLS.items():
        for name in names.split():
            found[plain(name)] = found.get(plain(name), frozenset()) | {use}
    return found


_TABLE = _index()


@lru_cache(maxsize=4096)
def _named(name: str) -> frozenset[Use]:
    """What a name says: `mcp__sqlite__read_query`, `functions.Bash`, `developer__shell`, `sqlite_read_query`."""
    last = findall(r"(?:__|[./:])?((?:(?!__)[^./:])+)", name.strip())[-1:] or [name]
    words = findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+", last[0])
    names = [plain(name), plain(last[0]), *(plain("".join(words[at:])) for at in range(1, len(words) - 1))]
    return next((_TABLE[one] for one in names if one in _TABLE), frozenset())


@lru_cache
def _names_of(words: str) -> frozenset[str]:
    return frozenset(plain(word) for word in words.split())


def _names(table: dict[Use, str], use: Use) -> frozenset[str]:
    return _names_of(table.get(use, ""))
