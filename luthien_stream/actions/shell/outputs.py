"""What simple programs put out, where the text alone tells it: `echo cm0= | base64 -d | sh` is read as it runs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from luthien_stream.actions.shell.fields import ansi
from luthien_stream.actions.shell.languages import INTERPRETERS, decode, language, said
from luthien_stream.actions.shell.model import UNKNOWN, Command, Stream
from luthien_stream.actions.shell.one_liners import printed
from luthien_stream.actions.shell.state import place

LONGEST_TEXT = 65_536
PASSING = frozenset(
    {"cat", "tee", "head", "tail", "sort", "uniq", "sponge", "pv", "buffer", "nl", "stdbuf", "dos2unix"}
)
"""Programs through which a text passes nearly unchanged."""


def output(command: Command, files: dict[str, Stream]) -> Stream:
    """What the command puts out. Its sources are itself and everything that was piped into it."""
    words = [word.text for word in command.arguments]
    read = [files[place(name)].sources for name in words if place(name) in files]
    sources = distinct((*command.stdin.sources, *command.substituted, *(one for some in read for one in some), command))
    text = _text(command.program, words, command.stdin, files)
    return Stream(None if text is None or len(text) > LONGEST_TEXT else text, sources, True)


def distinct(commands: Iterable[Command]) -> tuple[Command, ...]:
    """The commands, each once: what flows together again would double with every pipe."""
    return tuple({id(command): command for command in commands}.values())


def _text(program: str, words: Sequence[str], stdin: Stream, files: dict[str, Stream]) -> str | None:
    options = [word for word in words if word.startswith("-") and len(word) > 1]
    operands = [word for word in words if not word.startswith("-") or word == "-"]
    if program == "echo":
        return _echo(list(words))
    if program in {"printf", "print"}:
        return _printf([word for word in words if word != "--"])
    if program in PASSING and stdin.text is not None and (not operands or operands == ["-"] or program != "cat"):
        return stdin.text
    if program in {"cat", "head", "tail", "sort"}:
        known = [files[place(name)].text for name in operands if place(name) in files]
        return "".join(one or "" for one in known) if known and None not in known else None
    if program in {"which", "command", "type"} and operands:
        return operands[-1]
    if program == "mktemp":
        return "/tmp/made-here"
    if program == "pwd":
        return "."
    if program in {"basename", "dirname", "realpath", "readlink"} and operands:
        return _path(program, operands[0])
    if program.endswith("awk"):
        return _printed(next((word for word in operands if "print" in word), ""))
    if program in {"true", ":"}:
        return ""
    if language(program) in INTERPRETERS:
        return said(" ".join(words))
    return _filtered(program, options, operands, stdin.text)


def _filtered(program: str, options: Sequence[str], operands: Sequence[str], text: str | None) -> str | None:
    if text is None:
        return None
    letters = "".join(option.lstrip("-") for option in options)
    if program in {"base64", "base32", "openssl", "xxd", "uudecode", "basenc"}:
        return decode(text) if set("dDr") & set(letters) or "decode" in letters else None
    if program == "rev":
        return "\n".join(line[::-1] for line in text.split("\n"))
    if program == "tac":
        return "\n".join(text.rstrip("\n").split("\n")[::-1])
    if program == "tr":
        return _translated(letters, operands, text)
    if program in {"sed", "gsed"}:
        return _substituted(operands or [option[2:] for option in options], text)
    return None


def _echo(words: list[str]) -> str:
    escapes = newline = False
    while words and re.fullmatch(r"-[neE]+", words[0]):
        escapes, newline = escapes or "e" in words[0], newline or "n" in words[0]
        words.pop(0)
    text = " ".join(words)
    return (_resolved(text) if escapes or "\\x" in text else text) + ("" if newline else "\n")


def _printf(words: Sequence[str]) -> str:
    if not words:
        return ""
    values = list(words[1:])
    parts: list[str] = []
    form = _resolved(words[0])
    for _ in range(max(1, len(values))):
        parts.append(re.sub(r"%%|%[-\d.]*([a-zA-Z])", lambda found: _value(found, values), form))
        if not values:
            break
    return "".join(parts)


def _value(found: re.Match[str], values: list[str]) -> str:
    if found.group() == "%%":
        return "%"
    value = values.pop(0) if values else ""
    return _resolved(value) if found[1] == "b" else value


def _resolved(text: str) -> str:
    return UNKNOWN.join(ansi(part) for part in text.split(UNKNOWN))


def _path(program: str, path: str) -> str:
    folder, _, name = path.rstrip("/").rpartition("/")
    return {"basename": name, "dirname": folder or "."}.get(program, path)


def _printed(code: str) -> str | None:
    """The literals that an awk program prints, a line."""
    if '"' not in code or "print" not in code:
        return None
    return "".join(part + "\n" for part in re.findall(r"'([^']*)'", printed(code))[1:])


def _translated(letters: str, operands: Sequence[str], text: str) -> str | None:
    if "d" in letters and operands:
        return text.translate(dict.fromkeys(map(ord, _set(operands[0]))))
    if len(operands) < 2:
        return text
    old, new = _set(operands[0]), _set(operands[1])
    return text.translate(dict(zip(map(ord, old), new.ljust(len(old), new[-1:] or " "), strict=False)))


def _set(text: str) -> str:
    """The characters of a set of `tr`."""
    named = _resolved(text)
    for name, characters in {"upper": "A-Z", "lower": "a-z", "space": " \t\n", "digit": "0-9"}.items():
        named = named.replace(f"[:{name}:]", characters)
    return re.sub(r"(.)-(.)", _range, named, flags=re.S)


def _range(found: re.Match[str]) -> str:
    first, last = ord(found[1]), ord(found[2])
    return "".join(map(chr, range(first, min(last + 1, first + 256))))


def _substituted(scripts: Sequence[str], text: str) -> str | None:
    """Plain `s/a/b/` only."""
    for script in scripts:
        found = re.fullmatch(r"s(.)([\w \-./]*)\1([\w \-./]*)\1(g?)", script)
        if found is None or found[1] in found[2]:
            return None
        text = text.replace(found[2], found[3], -1 if found[4] else 1)
    return text
