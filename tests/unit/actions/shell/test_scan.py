"""The pass before the parser: here-documents out, bounds kept."""

from __future__ import annotations

from contextlib import suppress
from time import process_time

import pytest

from luthien_stream.actions.shell.scan import HERE, STRING, Document, UnreadableError, scan, substitutions


def test_documents_leave_the_text() -> None:
    """A redirection stands in their place; what follows on the line stays."""
    script = scan("cat <<A <<-'B' > f && ls\n1 $x\nA\n\t2\n\tB\npwd\n")
    assert script.text == f"cat <{HERE}0 <{HERE}1 > f && ls\npwd\n"
    assert script.documents == [Document("1 $x\n", False), Document("2\n", True)]


@pytest.mark.parametrize("text", ["echo '<<A'", 'echo "<<A"', "echo $((1<<2))", "((x<<2))", "# <<A", "echo \\<<x"])
def test_what_only_looks_like_a_document(text: str) -> None:
    """Quotes, arithmetic and comments begin none."""
    assert scan(text).documents == []


def test_a_string_is_a_redirection_too() -> None:
    """The grammar stumbles over it behind another redirection."""
    assert scan('a 2>&1 <<< "x"').text == f'a 2>&1 <{STRING}"x"'


def test_a_document_within_a_substitution() -> None:
    """The quotes around do not hide it."""
    script = scan("git commit -m \"$(cat <<'E'\nit's (a) message\nE\n)\" && ls")
    assert script.documents == [Document("it's (a) message\n", True)]
    assert script.text.endswith(')" && ls')


def test_documents_without_an_end() -> None:
    """The rest of the text is the body."""
    assert scan("cat <<A\nb\nc").documents == [Document("b\nc\n", False)]


def test_substitutions_of_a_document() -> None:
    """Double quotes mean nothing there, backslashes do."""
    assert substitutions('a "$(b "c)")" `d` \\$(e) $((1+1))') == ['b "c)"', "d"]


def test_pieces() -> None:
    """Cut where a command may begin."""
    assert scan("a 'b;c' && d | e $(f)").pieces() == ["a 'b;c'", "d", "e $", "f"]


@pytest.mark.parametrize(
    "text",
    [
        "$(" * 30_000,
        "'" * 60_000,
        '"' * 60_000,
        "`" * 60_000,
        "<<E\n" * 15_000,
        "(" * 60_000,
        "${a" * 20_000,
        "\\" * 60_000,
        "a;" * 30_000,
    ],
)
def test_time_is_bounded(text: str) -> None:
    """Any text is read or refused soon."""
    begun = process_time()
    with suppress(UnreadableError):
        scan(text)
    assert process_time() - begun < 0.5
