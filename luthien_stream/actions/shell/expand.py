"""The words of the tree: quotes, variables, substitutions, as far as the text itself tells their values."""

from __future__ import annotations

import re
from collections.abc import Callable

from tree_sitter import Node

from luthien_stream.actions.shell import fields as f
from luthien_stream.actions.shell.model import UNKNOWN, Command, Stream, Word
from luthien_stream.actions.shell.scan import substitutions
from luthien_stream.actions.shell.state import State, bounded
from luthien_stream.actions.shell.tree import parse

_EXPANSION = re.compile(r"\$\{([!#]?)(\w+|[@*#?$!-])(?:\[([^]]*)\])?(.*)\}\Z", re.S)
PROCESS = "/.process/"

Run = Callable[[Node], Stream]


def text_of(node: Node) -> str:
    """The node's own text."""
    return (node.text or b"").decode("utf-8", "replace")


class Expander:
    """Makes words of nodes. `run` reads the commands of a substitution and returns what they put out."""

    def __init__(self, state: State, run: Run) -> None:
        self._state = state
        self._run = run
        self.substituted: list[Command] = []
        """The commands whose output went into words since this was last emptied."""

    def fields(self, node: Node) -> list[Word]:
        """The words that a node becomes: none, one or several."""
        return f.fields(bounded(self.piece(node, False)))

    def value(self, node: Node) -> str:
        """One marked text, as an assignment takes it."""
        return bounded(self.piece(node, False)).replace(f.SPLIT, " ")

    def piece(self, node: Node, quoted: bool) -> str:
        """The text of a node, with marks for what is special in it."""
        kind = node.type
        if kind == "raw_string":
            return text_of(node)[1:-1] + f.QUOTED
        if kind == "ansi_c_string":
            return f.ansi(text_of(node)[2:-1]) + f.QUOTED
        if kind in {"string", "translated_string"}:
            return self._string(node) + f.QUOTED
        if kind in {"simple_expansion", "expansion"}:
            return self._variable(node, quoted)
        if kind == "command_substitution":
            return self._substitution(node, quoted)
        if kind == "process_substitution":
            return self._process(node)
        if kind == "arithmetic_expansion":
            self.descend(node)
            return UNKNOWN
        if kind == "brace_expression":
            return text_of(node).strip("{}").split("..")[0] + f.MANY
        if kind in {"concatenation", "command_name", "array"}:
            return "".join(self.piece(child, quoted) for child in node.named_children)
        if node.named_child_count and kind != "word":
            self.descend(node)
        if quoted and "`" in text_of(node):  # in `"${x:-`...`}"` the grammar sees a word
            for inner in substitutions(text_of(node)):
                self._run(parse(inner))
        return f.in_quotes(text_of(node)) if quoted else f.bare(text_of(node))

    def descend(self, node: Node) -> None:
        """Read every substitution below a node whose own value nobody needs."""
        left = [node]
        while left:
            for child in left.pop().named_children:
                if child.type in {"command_substitution", "process_substitution", "string", "expansion"}:
                    self.piece(child, True)
                else:
                    left.append(child)

    def _string(self, node: Node) -> str:
        """Children and the gaps between them: the grammar leaves white space out."""
        raw = node.text or b""
        start, at, out = node.start_byte, 0, []
        at = raw.find(b'"') + 1
        for child in node.named_children:
            begin, end = child.start_byte - start, child.end_byte - start
            out.append(f.in_quotes(raw[at:begin].decode("utf-8", "replace")))
            out.append(self.piece(child, True))
            at = end
        out.append(f.in_quotes(raw[at : len(raw) - 1].decode("utf-8", "replace")))
        return bounded("".join(out))

    def _substitution(self, node: Node, quoted: bool) -> str:
        stream = self._run(node)
        self.substituted += stream.sources
        if stream.text is None:
            return UNKNOWN if quoted else UNKNOWN + f.MANY
        text = stream.text.rstrip("\n")
        return text if quoted else f.expanded(text)

    def _process(self, node: Node) -> str:
        """`<(...)` is a file with what the commands put out; `>(...)` runs with what is written to it."""
        name = f"{PROCESS}{len(self._state.files)}"
        self._state.files[name] = self._run(node)
        return name

    def _variable(self, node: Node, quoted: bool) -> str:
        raw = text_of(node)
        lead = raw[: len(raw) - len(raw.lstrip())]
        raw = raw.strip()
        if not raw.startswith("${"):
            return lead + self._marked(self._get(raw[1:]), quoted)
        found = _EXPANSION.match(raw)
        nested = [
            child for child in node.named_children if child.type not in {"variable_name", "special_variable_name"}
        ]
        inner = [self.piece(child, True) for child in nested if child.type != "subscript"]
        if found is None:
            return UNKNOWN
        mark, name, index, operation = found.groups()
        value = self._indexed(name, index) if index is not None else self._get(name)
        if mark == "#":
            return "1"
        if mark == "!":
            value = self._get(value) if value and re.fullmatch(r"\w+", value) else None
        if operation:
            value = _operated(value, operation, "".join(inner))
        return self._marked(value, quoted)

    def _get(self, name: str) -> str | None:
        if name in self._state.origins:
            self.substituted += self._state.origins[name]
        if name in self._state.variables:
            return self._state.variables[name]
        array = self._state.arrays.get(name)
        return array[0] if array else None

    def _indexed(self, name: str, index: str) -> str | None:
        array = self._state.arrays.get(name)
        if array is None:
            return None
        if index in {"@", "*"}:
            return f.SPLIT.join(array)
        return array[int(index)] if index.isdigit() and int(index) < len(array) else None

    def _marked(self, value: str | None, quoted: bool) -> str:
        if value is None:
            return UNKNOWN
        return value if quoted else f.expanded(value)


def _operated(value: str | None, operation: str, inner: str) -> str | None:
    """Apply `:-x`, `:0:2`, `/a/b`, `^^`... to a value; None where that cannot be told."""
    if re.match(r":?[-=]", operation):
        return value if value is not None else inner
    if re.match(r":?\+", operation):
        return inner
    if re.match(r":?\?", operation) or value is None:
        return value
    cut = re.fullmatch(r":\s*(-?\d+)(?::\s*(-?\d+))?", operation)
    if cut is not None:
        start, length = int(cut[1]), cut[2]
        return value[start:] if length is None else value[start:][: int(length)]
    swap = re.fullmatch(r"(//?)((?:\\.|[^/])+)(?:/(.*))?", operation, re.S)
    if swap is not None:
        old, new = re.sub(r"\\(.)", r"\1", swap[2]).strip("'\""), (swap[3] or "").strip("'\"")
        return value.replace(old, new, -1 if swap[1] == "//" else 1)
    if operation in {"^^", ",,", "^", ","}:
        whole = value.upper() if "^" in operation else value.lower()
        return whole if len(operation) == 2 else whole[:1] + value[1:]
    return UNKNOWN
