"""The table of calls: what a person copies from it is whole."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from luthien_stream.activity.read import Summary
from luthien_stream.cli.calls import COLUMNS, FIRST_COLUMNS, print_table, table_of
from luthien_stream.cli.plain import SHORT_ID

CALL = "0192f3a4-7c1e-7abc-8def-000000000001"


def printed(*, width: int, columns: tuple[str, ...]) -> list[str]:
    """The lines of a table with one long call, on a terminal."""
    call = Summary(
        call_id=CALL,
        time=1_790_000_000_000_000,
        model="anthropic/claude-opus-4-1-20250805-with-a-long-name",
        format="anthropic_messages",
        session="",
        streamed=True,
        client="",
        key="",
        version="",
        provider="lab",
        status=200,
        original_end=None,
        final_end="response.failed",
        error="upstream_unreachable",
        usage=None,
        delivered="error",
        delivered_bytes=0,
        duration=1_234_000,
        first_received=12_000,
        first_released=12_300,
        chunks_received=12345,
        chunks_released=12345,
        verdicts=["string_replace:rewrite", "block_tools:deny"],
    )
    out = Console(file=StringIO(), width=width, force_terminal=True, no_color=True)
    print_table(out, table_of([call], columns))
    assert isinstance(out.file, StringIO)
    return out.file.getvalue().splitlines()


def test_what_is_copied_or_compared_is_whole_on_a_small_terminal() -> None:
    """The id that `show` takes, the time and how long it took; names take a second line."""
    lines = printed(width=80, columns=FIRST_COLUMNS)
    text = "\n".join(lines)
    assert CALL[:SHORT_ID] in text
    assert "1.2 s" in text
    assert "…" not in text
    assert len(lines) > 2


def test_a_wide_terminal_gets_every_column() -> None:
    """One line a call."""
    header, *rows = printed(width=240, columns=COLUMNS)
    assert all(name in header for name in COLUMNS)
    assert len(rows) == 1
    assert "12345" in rows[0]
