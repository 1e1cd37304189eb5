"""What tool calls of the common agents do, as far as their arguments say."""

from __future__ import annotations

import json
from time import process_time
from typing import Any

import pytest

from luthien_stream.actions.known_tools import Use, texts, uses
from luthien_stream.actions.patch import patched
from luthien_stream.actions.sounds import is_sql, may_be_sql
from luthien_stream.events.answer import ToolCall, ToolKind

PATCH = "*** Begin Patch\n*** Update File: src/a.py\n*** Move to: src/b.py\n@@\n-x\n+y\n*** Add File: .env\n+K=1\n"
DIFF = "diff --git a/x.py b/y.py\n--- a/x.py\n+++ b/y.py\n@@ -1 +1 @@\n-a\n+b\n"


def call(name: str, args: Any, kind: ToolKind = "function") -> ToolCall:
    return ToolCall("1", name, args if isinstance(args, str) else json.dumps(args), kind=kind)


@pytest.mark.parametrize(
    ("name", "args", "use", "found"),
    [
        ("Bash", {"command": "ls -l", "description": "List"}, "shell", ["ls -l"]),
        ("shell", {"command": ["bash", "-lc", "rm -rf x"]}, "shell", ["bash -lc 'rm -rf x'"]),
        ("exec_command", {"cmd": "ls"}, "shell", ["ls"]),
        ("run_shell_command", {"command": "ls", "directory": "a"}, "shell", ["ls"]),
        ("run_command", {"CommandLine": "ls", "Cwd": "/"}, "shell", ["ls"]),
        ("terminal", {"commands": ["ls -l", "rm x"]}, "shell", ["ls -l", "rm x"]),
        ("mcp__box__start_process", {"command": "rm", "args": ["-rf", "a b"]}, "shell", ["rm -rf 'a b'"]),
        ("developer__shell", {"command": "ls"}, "shell", ["ls"]),
        ("write_stdin", {"session_id": 1, "chars": "rm x\n"}, "shell", ["rm x\n"]),
        ("container.exec", {"cmd": ["ls"]}, "shell", ["ls"]),
        ("Bash", {"script_body": "rm x"}, "shell", ["rm x"]),
        ("Bash", {"restart": True}, "shell", []),
        ("frobnicate", {"command": "rm x"}, "shell", ["rm x"]),
        ("frobnicate", {"note": "rm x"}, "shell", []),
        ("str_replace_based_edit_tool", {"command": "create", "path": "a"}, "shell", []),
        ("execute_ipython_cell", {"code": "import os"}, "code", ["import os"]),
        ("run_sql", {"sql": "SELECT 1"}, "sql", ["SELECT 1"]),
        ("query", {"query": "DROP TABLE x"}, "sql", ["DROP TABLE x"]),
        ("query", {"query": "What is our refund policy?"}, "sql", []),
        ("query", {"query": "1' OR 1=1; --"}, "sql", ["1' OR 1=1; --"]),
        ("mcp__lite__read_query", {"query": "SELECT 1"}, "sql", ["SELECT 1"]),
        ("my_lite_read_query", {"query": "SELECT 1"}, "sql", ["SELECT 1"]),
        ("sql_db_query", {"__arg1": "SELECT 1"}, "sql", ["SELECT 1"]),
        ("create_table", {"columns": ["Name", "Age"]}, "sql", []),
        ("lookup", {"query": "delete from users"}, "sql", ["delete from users"]),
        ("lookup", {"query": "select a nice phone"}, "sql", []),
        ("WebSearch", {"query": "delete from users"}, "sql", []),
        ("anything", {"sql": "whatever"}, "sql", ["whatever"]),
        ("Write", {"file_path": "a.py", "content": "/etc/passwd"}, "write", ["a.py"]),
        ("edit", {"filePath": "a.py", "oldString": "x"}, "write", ["a.py"]),
        ("str_replace_based_edit_tool", {"command": "view", "path": "a"}, "write", []),
        ("str_replace_based_edit_tool", {"command": "create", "path": "a"}, "write", ["a"]),
        ("NotebookEdit", {"notebook_path": "n.ipynb", "new_source": "x"}, "write", ["n.ipynb"]),
        ("multi_replace_string_in_file", {"replacements": [{"filePath": "a"}, {"filePath": "b"}]}, "write", ["a", "b"]),
        ("write_files", {"files": [{"path": "a", "content": "c"}]}, "write", ["a"]),
        ("move_file", {"source": "a", "destination": "b"}, "write", ["a", "b"]),
        ("apply_patch", {"input": PATCH}, "write", ["src/a.py", "src/b.py", ".env"]),
        ("patch", {"patchText": DIFF}, "write", ["x.py", "y.py"]),
        ("stash_note", {"path": "a", "content": "b"}, "write", ["a"]),
        ("look", {"path": "a"}, "write", []),
        ("Read", {"file_path": "a"}, "read", ["a"]),
        ("WebFetch", {"url": "https://a.b", "prompt": "sum up"}, "fetch", ["https://a.b", "sum up"]),
        ("fetch_webpage", {"urls": ["a.b", "c.d"]}, "fetch", ["a.b", "c.d"]),
        ("Grep", {"pattern": "x"}, "search", ["x"]),
    ],
)
def test_arguments(name: str, args: Any, use: Use, found: list[str]) -> None:
    """Each agent's own names and shapes."""
    assert texts(call(name, args), use) == found


@pytest.mark.parametrize(
    ("kind", "args", "use", "found"),
    [
        ("local_shell", '{"type":"exec","command":["bash","-lc","ls"]}', "shell", ["bash -lc ls"]),
        ("shell", '{"commands":["ls","pwd"],"timeout_ms":1}', "shell", ["ls", "pwd"]),
        ("apply_patch", '{"type":"update_file","path":"a.py","diff":"@@ x"}', "write", ["a.py"]),
    ],
)
def test_kinds(kind: ToolKind, args: str, use: Use, found: list[str]) -> None:
    """What Responses calls by a kind of its own."""
    assert texts(call("whatever", args, kind), use) == found


def test_free_text_is_what_it_says() -> None:
    """A custom tool's input is a patch, a command or a statement itself."""
    assert texts(call("apply_patch", PATCH, "custom"), "write") == ["src/a.py", "src/b.py", ".env"]
    assert texts(call("bash", "rm -rf x", "custom"), "shell") == ["rm -rf x"]
    assert texts(call("sql", "DROP TABLE x", "custom"), "sql") == ["DROP TABLE x"]


@pytest.mark.parametrize(
    "arguments",
    [
        '{"command":"rm -rf x"',
        '{"command":"rm -rf x',
        '{"command":"rm -rf x",}',
        r'{"command":"r\u006d -rf x", oops}',
        '"rm -rf x"',
        '["rm -rf x"]',
        '{"command":{"line":"rm -rf x"}}',
        '{"command":"ls","command":"rm -rf x"}',
        '{"command":"rm -rf x","command":"ls"}',
        '{"COMMAND":"rm -rf x"}',
        '{"unknown":"rm -rf x"}',
        json.dumps(json.dumps({"command": "rm -rf x"})),
        '{"a":' * 200 + '{"command":"rm -rf x"}' + "}" * 200,
        '{"command":"rm -rf x","n":' + "9" * 5000 + "}",
        '{"command":"rm -rf x","lone":"\\ud800"}',
    ],
)
def test_odd_arguments_hide_nothing(arguments: str) -> None:
    """Neither JSON that is none, nor other types, nor names given twice."""
    assert "rm -rf x" in texts(call("Bash", arguments), "shell")


def test_unknown_tools_with_broken_arguments_are_read_by_their_fields() -> None:
    """The name of the field is still there."""
    assert texts(call("frobnicate", '{"command": "rm -rf x", oops'), "shell") == [
        "rm -rf x",
        '{"command": "rm -rf x", oops',
    ]


def test_calls_in_calls() -> None:
    """Wrappers are unwrapped, not without end."""
    batch = {"tool_calls": [{"tool": "bash", "parameters": {"command": "rm a"}}]}
    assert texts(call("batch", batch), "shell") == ["rm a"]
    parallel = {"tool_uses": [{"recipient_name": "functions.Bash", "parameters": {"command": "rm b"}}]}
    assert texts(call("multi_tool_use.parallel", parallel), "shell") == ["rm b"]
    proxy = {"server_name": "db", "tool_name": "read_query", "arguments": '{"query":"DROP TABLE x"}'}
    assert texts(call("use_mcp_tool", proxy), "sql") == ["DROP TABLE x"]
    deep: Any = {"command": "rm c"}
    for _ in range(12):
        deep = {"tool": "bash", "parameters": deep}
    assert texts(call("batch", deep), "write") == []


def test_names() -> None:
    """Case, separators, and whose tool it is do not matter; a part of a word is no name."""
    assert uses(call("mcp__x__execute-SQL", {})) == {"sql"}
    assert uses(call("RunCommand", {})) == {"shell"}
    assert uses(call("functions.Bash ", {})) == {"shell"}
    assert uses(call("email_read", {})) == frozenset()
    assert uses(call("bashful", {})) == frozenset()


def test_patches() -> None:
    """Prose about a patch is none."""
    assert patched("see *** Update File: x") == []
    assert patched("--- a/x\n+++ b/x\n@@ -1 +1 @@\n") == ["x"]
    assert patched("--- a\nfront matter\n---\n") == []


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("SELECT a FROM b", True),
        ("/* x */ -- y\n select 1", True),
        ("# y\nselect 1", True),
        ("/*!50000 DROP*/ TABLE x", True),
        ("admin'; drop table users", True),
        ("WITH a AS (SELECT 1) SELECT * FROM a", True),
        ("CREATE TABLE IF NOT EXISTS a (b int)", True),
        ("exec xp_cmdshell 'dir'", True),
        ("update node to version 20", False),
        ("delete branch", False),
        ("show me the money", False),
        ("call mum", False),
        ("", False),
    ],
)
def test_what_is_sql(text: str, sql: bool) -> None:
    """By its first words, comments aside, or by a statement stacked behind."""
    assert is_sql(text) == sql


def test_prose() -> None:
    """Only plain prose is taken for prose."""
    assert not may_be_sql("Who's the customers' favourite, and why?")
    assert not may_be_sql("query Orders($n: Int!) { orders(first: $n) { id } }")
    assert not may_be_sql('{"term": {"user": "x"}}')
    assert may_be_sql("{call xp_cmdshell('dir')}")
    assert may_be_sql("show tables")
    assert may_be_sql("xp_cmdshell 'dir'")
    assert may_be_sql("Find x; y z")


@pytest.mark.parametrize(
    "arguments", ["[" * 1_000_000, '{"a":' * 200_000, '"\\"' * 300_000, '"' * 999_999, "\\" * 999_999, '"a"' * 300_000]
)
def test_hostile_arguments_take_linear_time(arguments: str) -> None:
    """A megabyte of anything is read in a second or two."""
    began = process_time()
    texts(call("Bash", arguments), "shell")
    texts(call("query", arguments), "sql")
    assert process_time() - began < 10
