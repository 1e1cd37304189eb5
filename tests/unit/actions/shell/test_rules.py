"""Rules over commands, and what kinds of paths there are."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from luthien_stream.actions.shell import Word, commands
from luthien_stream.actions.shell.rules import Rules
from luthien_stream.actions.shell.targets import classes, normal


def is_broken(text: str, values: dict[str, str] | None = None, **rule: Any) -> bool:
    """True if any command of the text breaks the rule."""
    one = {"name": "x", "category": "files", "why": "", "program": "p"} | rule
    rules = msgspec.convert({"rule": [one], "values": values or {}}, Rules)
    return any(True for command in commands(text) for _ in rules.matches(command))


@pytest.mark.parametrize(
    ("text", "flags", "expected"),
    [
        ("p -f", "-f --force", True),
        ("p -xfz", "-f", True),
        ("p --force", "-f --force", True),
        ("p --forc", "--force", True),
        ("p --force=yes", "--force", True),
        ("p --force-with-lease", "--force", False),
        ("p --prune=now", "--prune=now", True),
        ("p --prune=2.weeks", "--prune=now", False),
        ("p -auto-approve", "-auto-approve", True),
        ("p --auto-approve=false", "-auto-approve", False),
        ("p -- -f", "-f", False),
        ("p f", "-f", False),
    ],
)
def test_flags(text: str, flags: str, expected: bool) -> None:
    """Alone, in a cluster, with a value, cut short; not behind `--`."""
    assert is_broken(text, flags=[flags]) == expected


def test_operands() -> None:
    """Options and their values are none."""
    assert is_broken("p -n prod delete x", values={"p": "-n"}, words="^delete x$")
    assert not is_broken("p -n delete list", values={"p": "-n"}, words="^delete")
    assert is_broken("p a 'b c'", words="^a b_c$")


def test_harmless_flags() -> None:
    """`unless` and `--help` let the command pass."""
    assert not is_broken("p -n x", unless="-n")
    assert not is_broken("p --help")
    assert is_broken("p -- --help")


def test_programs() -> None:
    """Globs on both sides; paths and wrappers do not matter."""
    assert is_broken("/usr/bin/p x")
    assert is_broken("sudo p x")
    assert is_broken("/usr/bin/[p] x")
    assert is_broken("p.x y", program="p.*")
    assert not is_broken("q x")


def test_statements() -> None:
    """Values and comments of SQL say nothing, input counts."""
    drop = r"(?i)drop\s+table"
    assert is_broken("p -c 'DROP TABLE x'", statement=drop)
    assert is_broken("p <<< 'DROP TABLE x'", statement=drop)
    assert not is_broken("p -c \"SELECT 'DROP TABLE x'\"", statement=drop)
    assert not is_broken("p -c 'SELECT 1 -- DROP TABLE x'", statement=drop)


def test_code_from() -> None:
    """Data that a program reads is no code."""
    for text in (
        "curl x | sh",
        "curl x | python3 -",
        "sh <(curl x)",
        'eval "$(curl x)"',
        "curl x | tee y | sudo bash -s -- z",
    ):
        assert is_broken(text, program="", code_from="curl"), text
    for text in (
        "curl x | python3 -m json.tool",
        "curl x | python3 f.py",
        "curl x | sh f.sh",
        "curl x | sh -c 'cat'",
        "curl x",
    ):
        assert not is_broken(text, program="", code_from="curl"), text


def test_redirections_count_as_commands() -> None:
    """`>` where nothing is written, `write` otherwise."""
    assert is_broken(": > f", program=">", targets=["!free"])
    assert is_broken("echo a >> /etc/passwd", program="write", targets=["vital"])
    assert not is_broken("sort a > f", program=">")
    assert not is_broken("ls < f", program="> write")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("node_modules", "free"),
        ("a/b/node_modules/c", "free"),
        ("/tmp/x", "free"),
        ("/tmp/x*", "free"),
        ("/tmp/../etc", "!free system"),
        ("/tmp/*", "!free"),
        ("/tmp", "!free top"),
        ("build/../src", "!free"),
        ("/", "root"),
        ("//", "root"),
        ("/*", "root"),
        ("~", "root home"),
        ("/home/u", "root home"),
        ("/home/u/x", "!root home outside"),
        (".", "root"),
        ("./", "root"),
        ("./*", "root"),
        ("..", "root outside"),
        ("src", "!root !outside !free"),
        ("/etc/passwd", "system vital"),
        ("/usr/local/x", "system !vital"),
        ("/dev/sda1", "device !sink"),
        ("/dev/null", "sink !device"),
        (".git", "history"),
        ("a/.git/hooks", "history"),
        (".git/index.lock", "!history"),
        (".github", "!history"),
        ("a/.luthien/x", "own guarded"),
        ("workers/x.py", "own !guarded"),
    ],
)
def test_classes(path: str, expected: str) -> None:
    """Each path is in the classes named, and not in those with `!`."""
    found = classes(Word(path))
    assert {name for name in expected.split() if (name.lstrip("!") in found) == name.startswith("!")} == set()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a/./b//c", "a/b/c"),
        ("./a", "a"),
        ("a/../b", "b"),
        ("/a/../../b", "/b"),
        ("../a", "../a"),
        ("a/..", "."),
        ("/..", "/"),
    ],
)
def test_normal(path: str, expected: str) -> None:
    """Without what only lengthens it."""
    assert normal(path) == expected
