"""One linear pass over a shell text before the parser: here-documents taken out, nesting bounded, pieces found.

The grammar is slow and wrong on here-documents, and its time grows with the square of open brackets. So documents leave
the text (a redirection from `HERE` and a number stands in their place), and what nests too deep is never parsed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise

HERE = "/.here/document/"
STRING = "/.here/string/"
DEEPEST = 40
"""Nesting of brackets, quotes and substitutions that is still read."""
LONGEST = 65_536
"""Characters of a text that is still read."""
CODE_LONGEST = 10_240
"""Characters without here-documents and quoted text: the grammar's slow part."""


MOST_CUTS = 600
"""Ends of commands in one text."""


class UnreadableError(ValueError):
    """The text is too long, too deep or too much to be read; the message says which."""


@dataclass
class Document:
    """A here-document: `literal` if its delimiter was quoted, so that nothing in it is expanded."""

    body: str
    literal: bool


@dataclass
class Script:
    """A text ready for the parser. `cuts` are offsets in `text` where one command may end and another begin."""

    text: str
    documents: list[Document] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)

    def pieces(self) -> list[str]:
        """The text between cuts: a coarse reading for where the grammar gave up."""
        edges = [0, *self.cuts, len(self.text)]
        found = (self.text[a:b].strip(" \t\n;|&()`") for a, b in pairwise(edges))
        return [piece for piece in found if piece]


_COMMAND = re.compile(
    r"(?P<skip>\\(?s:.)|'[^']*'|\$'(?:\\(?s:.)|[^'\\])*'|(?<![^\s;&|()`])\#[^\n]*)"
    r"|(?P<string><<<[ \t]*)"
    r"|(?P<document><<(?P<dash>-?)[ \t]*(?P<end>(?:\\.|'[^'\n]*'|\"[^\"\n]*\"|[^\s;&|()<>'\"\\`])+))"
    r"|(?P<open>\$\(\(|\$\(|[<>]\(|\$\{|\(\(|\(|\"|`)"
    r"|(?P<close>\))"
    r"|(?P<cut>[\n;]|&(?!>)|\|)"
    r"|(?P<plain>[^\\'\"$<>()`;&|\n#]+|.)",
    re.S,
)
_QUOTED = re.compile(r"(?P<skip>\\(?s:.))|(?P<open>\$\(\(|\$\(|\$\{|`)|(?P<close>\")|(?P<plain>[^\\$`\"]+|.)", re.S)
_BRACES = re.compile(
    r"(?P<skip>\\(?s:.)|\$'(?:\\(?s:.)|[^'\\])*')|(?P<open>\$\(\(|\$\(|\$\{|\"|`)|(?P<close>\})|(?P<plain>[^\\$`\"}]+|.)",
    re.S,
)
_ARITHMETIC = re.compile(
    r"(?P<skip>\\(?s:.))|(?P<open>\$\(\(|\$\(|\$\{|\(|`)|(?P<close>\))|(?P<plain>[^\\$()`]+|.)", re.S
)
_MODES = {'"': _QUOTED, "${": _BRACES, "((": _ARITHMETIC, "$((": _ARITHMETIC, "a(": _ARITHMETIC}


def scan(text: str, first: int = 0) -> Script:
    """Take the here-documents out, numbered from `first`, and bound the rest. Raises `UnreadableError`."""
    if len(text) > LONGEST:
        raise UnreadableError(f"the command is longer than {LONGEST} characters")
    return _Scan(text, first=first).script()


@dataclass
class _Scan:
    source: str
    at: int = 0
    first: int = 0
    out: list[str] = field(default_factory=list)
    length: int = 0
    code: int = 0
    stack: list[str] = field(default_factory=list)
    pending: list[tuple[str, bool, bool]] = field(default_factory=list)
    documents: list[Document] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)

    def script(self) -> Script:
        while self.at < len(self.source):
            pattern = _MODES.get(self.stack[-1], _COMMAND) if self.stack else _COMMAND
            found = pattern.match(self.source, self.at)
            assert found is not None  # the last alternative takes any character
            self.at = found.end()
            self._take(found.lastgroup or "plain", found)
        self._bodies()
        return Script("".join(self.out), self.documents, self.cuts)

    def _put(self, text: str, code: bool = True) -> None:
        self.out.append(text)
        self.length += len(text)
        self.code += len(text) if code else min(len(text), 2)
        if self.code > CODE_LONGEST:
            raise UnreadableError(f"the command has more than {CODE_LONGEST} characters of code")

    def _take(self, kind: str, found: re.Match[str]) -> None:
        token = found.group()
        if kind == "string":
            self._put("<" + STRING)
        elif found.groupdict().get("document"):
            self._document(found)
        elif kind == "open":
            self._open(token)
        elif kind == "close":
            self._close(token)
        elif kind == "cut":
            self.cuts.append(self.length)
            if len(self.cuts) > MOST_CUTS:
                raise UnreadableError(f"the text has more than {MOST_CUTS} commands")
            self._put(token)
            if token == "\n":
                self._bodies()
        else:
            self._put(token, code=kind != "skip")

    def _open(self, token: str) -> None:
        if token == "`" and "`" in self.stack:
            del self.stack[self.stack.index("`") :]
            self._put(token)
            self.cuts.append(self.length)
            return
        arithmetic = bool(self.stack) and _MODES.get(self.stack[-1]) is _ARITHMETIC
        self.stack.append("a(" if token == "(" and arithmetic else token)
        if len(self.stack) > DEEPEST:
            raise UnreadableError(f"the command nests deeper than {DEEPEST}")
        self._put(token)
        if token not in {'"', "${", "$((", "(("}:
            self.cuts.append(self.length)

    def _close(self, token: str) -> None:
        if self.stack:
            opened = self.stack.pop()
            if opened in {"((", "$(("} and self.source.startswith(")", self.at):
                self.at += 1
                token = "))"
            if token == ")":
                self.cuts.append(self.length)
        self._put(token)

    def _document(self, found: re.Match[str]) -> None:
        end = found["end"]
        self.pending.append((re.sub(r"\\(.)|['\"]", r"\1", end), bool(found["dash"]), bool(re.search(r"[\\'\"]", end))))
        number = self.first + len(self.documents) + len(self.pending) - 1
        self._put(f"<{HERE}{number}")

    def _bodies(self) -> None:
        """Read the bodies of all documents that were announced on the line that ends here."""
        for end, dash, literal in self.pending:
            lines: list[str] = []
            while self.at < len(self.source):
                stop = self.source.find("\n", self.at)
                stop = len(self.source) if stop < 0 else stop
                line = self.source[self.at : stop]
                self.at = stop + 1
                line = line.lstrip("\t") if dash else line
                if line == end or (line.rstrip(" )`\"';") == end and self._ends_in(line, end)):
                    break
                lines.append(line)
            self.documents.append(Document("".join(f"{line}\n" for line in lines), literal))
        self.pending.clear()

    def _ends_in(self, line: str, end: str) -> bool:
        """`EOF)` ends a document for some shells: give the rest of the line back to the scan."""
        if not self.stack:
            return False
        self.at -= len(line) - len(end) + 1
        return True


def substitutions(body: str) -> list[str]:
    """The commands in `$(...)` and backquotes of a here-document that is expanded. Raises `UnreadableError`."""
    found: list[str] = []
    at = 0
    while (begun := re.compile(r"(?<!\\)(?:\$\((?!\()|`)").search(body, at)) is not None:
        scanned = _Scan(body, at=begun.end(), stack=[begun.group()])
        while scanned.stack and scanned.at < len(body):
            token = _MODES.get(scanned.stack[-1], _COMMAND).match(body, scanned.at)
            assert token is not None
            scanned.at = token.end()
            scanned._take(token.lastgroup or "plain", token)
        found.append(body[begun.end() : max(begun.end(), scanned.at - 1)])
        at = max(scanned.at, begun.end())
    return found
