"""Programs of awk and sed in a shell text: the shell commands in them, the files they write, what they print."""

from __future__ import annotations

import re
from collections.abc import Iterator

from luthien_stream.actions.shell.fields import ansi
from luthien_stream.actions.shell.model import UNKNOWN, Redirect, Word


def awk_or_sed(program: str, code: str) -> Iterator[str | Redirect]:
    """The shell texts and written files in a program of awk or sed; nothing for another program."""
    if program.endswith("awk"):
        for piped in re.findall(r'"((?:\\.|[^"\\])*)"[^;}|"]{0,200}\|&?\s*getline', code):
            yield ansi(piped)
        for shell in re.findall(r'print[^;}]*\|\s*"((?:\\.|[^"\\])*)"', code):
            yield f"{printed(code)} | {shell}" if re.search(r"\b(?:ba|z|da)?sh\b", shell) else ansi(shell)
        for path in re.findall(r'print[^;}>|]{0,400}>>?\s*"((?:\\.|[^"\\])*)"', code):
            yield Redirect(">", Word(ansi(path)))
        for shell in re.findall(r"system\s*\(([^)]{0,2000})\)", code):
            yield _glued(shell)
            if '"' not in shell:  # a variable: any of the texts may be in it
                yield from (ansi(one) for one in re.findall(r'"((?:\\.|[^"\\])* (?:\\.|[^"\\])*)"', code))
    elif program in {"sed", "gsed"}:
        yield from re.findall(r"(?:^|[;\n}{]|^\d+|\$)\s*e\s+([^\n]+)", code)
        for found in re.findall(r"s([/|#,!@])((?:\\.|(?!\1).)*)\1((?:\\.|(?!\1).)*)\1\w*e", code):
            yield found[2].replace("&", UNKNOWN)
        for path in re.findall(r"(?:^|[;\n}/])\s*w\s+(/[^\s;}]+)", code):
            yield Redirect(">", Word(path))


def printed(code: str) -> str:
    """What an awk program prints, roughly, as a shell text that prints it."""
    texts = [_glued(one) for one in re.findall(r"printf?\s*\(?([^;}|]{0,400})", code)]
    return "printf '%s\\n' " + " ".join("'" + text.replace("'", "") + "'" for text in texts)


def _glued(expression: str) -> str:
    """The literals of an expression, with `UNKNOWN` for what stands between them."""
    out, at = "", 0
    for found in re.finditer(r'"((?:\\.|[^"\\])*)"', expression):
        out += (UNKNOWN if expression[at : found.start()].strip() else "") + ansi(found[1])
        at = found.end()
    return out + (UNKNOWN if expression[at:].strip(" ),") else "")
