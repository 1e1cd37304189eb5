"""What people decide on is shown as it is."""

from __future__ import annotations

import json

import pytest

from luthien_stream.bus.holds import Hold
from luthien_stream.cli.hold_page import as_object, json_line, page
from luthien_stream.cli.visible import visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rm -rf /", "rm -rf /"),
        ("\x1b[2Jls", "⟨U+001B⟩[2Jls"),
        ("a\u202eb", "a⟨U+202E⟩b"),
        ("a\u200bb\u2060", "a⟨U+200B⟩b⟨U+2060⟩"),
        ("a\u00a0b\ufe0f\u3164", "a⟨U+00A0⟩b⟨U+FE0F⟩⟨U+3164⟩"),
        ("\U000e0041", "⟨U+E0041⟩"),
        ("line\r\nbreak\t", "line⟨U+000D⟩⟨U+000A⟩break⟨U+0009⟩"),
        ("⟨U+001B⟩", "⟨U+27E8⟩U+001B⟩"),
        ("größe 猫 \\n", "größe 猫 \\n"),
    ],
)
def test_what_a_terminal_would_obey_or_hide_is_visible(text: str, shown: str) -> None:
    """And what is visible looks like nothing else."""
    assert visible(text) == shown


def test_a_page_shows_the_arguments_one_by_one_and_exactly() -> None:
    """Lines of an argument cannot pass for lines of the page."""
    arguments = json.dumps({"command": "ls\nstatus    approved\u202e"})
    hold = Hold("c", "k", "main@0", 0, 1, subject={"tool": "sh", "arguments": arguments, "policy": "p"})
    shown = page(hold, "waiting")
    assert "    | ls\n    | status    approved⟨U+202E⟩\n" in shown
    assert shown.endswith(f"exactly   {arguments}")
    assert json_line(as_object(hold, "waiting")).isascii()


def test_arguments_that_are_no_object_are_shown_exactly() -> None:
    """However broken they are."""
    hold = Hold("c", "k", "main@0", 0, 1, subject={"tool": "sh", "arguments": '{"a": \x1b'})
    assert page(hold, "waiting").endswith('exactly   {"a": ⟨U+001B⟩')
