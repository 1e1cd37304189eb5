"""Walk a shell text as it would run, without running it: every simple command in it, however it is wrapped.

All branches are taken, loops once for each of their first values, functions where they are called. What a command puts
out is followed where the text alone tells it (`echo`, `printf`, documents, `base64 -d`), so that what is piped into a
shell is read as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from tree_sitter import Node

from luthien_stream.actions.shell import fields as f
from luthien_stream.actions.shell.execute import Executor
from luthien_stream.actions.shell.expand import Expander, text_of
from luthien_stream.actions.shell.model import EMPTY, UNKNOWN, Command, Redirect, Stream, Word
from luthien_stream.actions.shell.outputs import distinct
from luthien_stream.actions.shell.scan import HERE, STRING, scan, substitutions
from luthien_stream.actions.shell.state import State, bounded, place
from luthien_stream.actions.shell.targets import begun_in
from luthien_stream.actions.shell.tree import parse

LOOP_VALUES = 6
"""Values of a loop's variable that its body is read with."""
BOMB = "fork bomb"
"""The program's name in a command that stands for a function which starts itself without end."""


def commands(text: str, interpreter: str = "sh") -> list[Command]:
    """Every simple command that a text would run, wrapped ones after their wrapper. Raises `UnreadableError`.

    `interpreter` names whose text it is: a shell's, or that of another language (`python`).
    """
    reader = Reader()
    if interpreter == "sh":
        reader.state.folder = begun_in(text)
        reader.text(text)
    else:
        reader.executor.execute(Command((Word(interpreter), Word("-")), stdin=Stream(text, (), True)))
    reader.rest()
    return reader.state.commands


class Reader:
    """Reads one text, and the texts in it, with one state."""

    def __init__(self) -> None:
        self.state = State()
        self.active: set[str] = set()
        self.executor = Executor(self.state, self)
        self._via: tuple[str, ...] = ()
        self._called: set[str] = set()
        self._expander = Expander(self.state, self._inside)
        self._walks: dict[str, Callable[[Node, Stream, Sequence[Redirect]], Stream]] = {
            "command": self._command,
            "declaration_command": self._declaration,
            "variable_assignment": self._assignment,
            "pipeline": self._pipeline,
            "redirected_statement": self._redirected,
            "for_statement": self._for,
            "function_definition": self._function,
        }

    def text(self, text: str, stdin: Stream = EMPTY, via: tuple[str, ...] = ()) -> Stream:
        """Read a whole text; return what it puts out."""
        text = f.cleaned(text)
        self.state.enter()
        self.state.count(text)
        before, self._via = self._via, via
        script = scan(text, len(self.state.documents))
        self.state.documents += script.documents
        root = parse(script.text)
        out = self.run(root, stdin)
        if root.has_error:
            self._salvage(script.pieces(), stdin)
        self._via = before
        self.state.leave()
        return out

    def rest(self) -> None:
        """Read the functions that nobody called: a later text may."""
        for name, body in list(self.state.functions.items()):
            if name not in self._called:
                self.run(body, EMPTY)

    def run(self, node: Node, stdin: Stream, redirects: Sequence[Redirect] = ()) -> Stream:
        """Read a statement; return what it puts out."""
        walk = self._walks.get(node.type)
        self.state.nest(1)
        out = self._others(node, stdin, redirects) if walk is None else walk(node, stdin, redirects)
        self.state.nest(-1)
        return out

    def _others(self, node: Node, stdin: Stream, redirects: Sequence[Redirect]) -> Stream:
        """Read statements that only hold others: lists, groups, branches, loops."""
        if node.type in {"test_command", "comment", "ERROR"} or not node.named_child_count:
            self._expander.descend(node)
            return EMPTY
        children = [child for child in _flat(node) if child.type != "comment"]
        is_list = node.type == "list"
        out = joined([self.run(one, stdin, redirects if is_list and one is children[-1] else ()) for one in children])
        if redirects and (not children or not is_list):
            group = () if out.text == "" else (Word("{"),)
            self.executor.emit(Command(group, tuple(redirects), stdin, self._via))
        return out

    def fields(self, text: str) -> list[Word]:
        """The words of a text, as an alias or `env -S` has them."""
        return [word for node in parse(scan(text).text).named_children for word in self._words(node)]

    def call(self, name: str, arguments: Sequence[Word], stdin: Stream) -> Stream:
        """Read a function's body with its arguments."""
        self._called.add(name)
        self.active.add(name)
        self.state.enter()
        before = self.state.positional([word.text for word in arguments], f.SPLIT)
        out = self.run(self.state.functions[name], stdin)
        self.state.variables.update(before)
        self.state.leave()
        self.active.discard(name)
        return out

    def _inside(self, node: Node) -> Stream:
        """Read the commands of a substitution."""
        expander, self._expander = self._expander, Expander(self.state, self._inside)
        out = [self.run(child, EMPTY) for child in node.named_children]
        self._expander = expander
        return joined(out)

    def _words(self, node: Node) -> list[Word]:
        return [word for child in node.named_children for word in self._expander.fields(child)]

    def _command(self, node: Node, stdin: Stream, redirects: Sequence[Redirect]) -> Stream:
        self._expander.substituted.clear()
        assigned: list[tuple[str, str]] = []
        words: list[Word] = []
        own = list(redirects)
        for child in node.named_children:
            if child.type == "variable_assignment":
                assigned += self._assigned(child)
            elif child.type in {"file_redirect", "herestring_redirect"}:
                stdin = self._redirect(child, own, stdin)
            else:
                words += self._expander.fields(child)
        substituted = tuple(self._expander.substituted)
        values = tuple((name, Word(f.plain(value))) for name, value in assigned)
        command = Command(tuple(words), tuple(own), stdin, self._via, values, substituted)
        out = self.executor.execute(command)
        for former in self._formerly(node):
            self.executor.execute(Command((*f.fields(f.expanded(former)), *words[1:]), tuple(own), stdin, self._via))
        return self._written(own, out)

    def _formerly(self, node: Node) -> list[str]:
        """Values that the variable in the program's place had before: not every branch runs."""
        name = node.child_by_field_name("name")
        found = re.fullmatch(r'"?\$\{?(\w+)\}?"?', text_of(name)) if name is not None else None
        return self.state.former.get(found[1], []) if found is not None else []

    def _assigned(self, node: Node) -> list[tuple[str, str]]:
        """Make an assignment; return the names and values."""
        target, value = node.named_children[0], node.named_children[1:]
        name = text_of(target)
        self._expander.descend(target)
        if value and value[0].type == "array":
            self.state.arrays[name] = [word.text for word in self._words(value[0])]
            return []
        before = len(self._expander.substituted)
        text = "".join(self._expander.value(one) for one in value)
        if "+=" in text_of(node)[: len(name) + 2]:
            text = bounded(self.state.variables.get(name, "") + text)
        self.state.set(name, text, tuple(self._expander.substituted[before:]))
        return [(name, text)]

    def _assignment(self, node: Node, stdin: Stream, redirects: Sequence[Redirect]) -> Stream:
        self._assigned(node)
        return EMPTY

    def _declaration(self, node: Node, stdin: Stream, redirects: Sequence[Redirect]) -> Stream:
        for child in node.named_children:
            if child.type == "variable_assignment":
                self._assigned(child)
            else:
                self._expander.fields(child)
        return EMPTY

    def _pipeline(self, node: Node, stdin: Stream, redirects: Sequence[Redirect]) -> Stream:
        stages = [child for child in node.named_children if child.type != "comment"]
        for stage in stages:
            stdin = self.run(stage, stdin, redirects if stage is stages[-1] else ())
            stdin = Stream(stdin.text, stdin.sources, True)
        return stdin

    def _redirected(self, node: Node, stdin: Stream, redirects: Sequence[Redirect]) -> Stream:
        own = list(redirects)
        body = None
        for child in node.named_children:
            if child.type in {"file_redirect", "herestring_redirect"}:
                stdin = self._redirect(child, own, stdin)
            elif body is None:
                body = child
        if body is None:
            self.executor.emit(Command((), tuple(own), stdin, self._via))
            return self._written(own, EMPTY)
        out = self.run(body, stdin, own)
        return out if body.type in self._walks or body.type == "list" else self._written(own, out)

    def _redirect(self, node: Node, redirects: list[Redirect], stdin: Stream) -> Stream:
        """Keep a redirection to a file; return what is now read."""
        operator = next((child.type for child in node.children if not child.is_named), "<")
        words = [w for c in node.named_children if c.type != "file_descriptor" for w in self._expander.fields(c)]
        if not words or operator in {">&-", "<&-"} or (operator in {">&", "<&"} and words[0].text.isdigit()):
            return stdin
        target = words[0]
        number = next((text_of(c) for c in node.named_children if c.type == "file_descriptor"), "1")
        if node.type == "herestring_redirect" or target.text.startswith(STRING):
            return Stream(target.text.removeprefix(STRING) + "\n", tuple(self._expander.substituted), True)
        if target.text.startswith(HERE):
            document = re.match(r"\d+", target.text.removeprefix(HERE))
            return self._document(int(document.group()) if document is not None else -1)
        if ">" in operator or place(target.text) not in self.state.files:
            redirects.append(Redirect(operator, target, number == "1" or operator.startswith("&")))
            return Stream(None, (), True) if operator == "<" else stdin
        return self.state.files[place(target.text)]

    def _document(self, number: int) -> Stream:
        document = self.state.documents[number] if 0 <= number < len(self.state.documents) else None
        if document is None:
            return EMPTY
        if document.literal:
            return Stream(document.body, (), True)
        sources = joined([self.text(inner, via=self._via) for inner in substitutions(document.body)]).sources
        known = re.sub(r"(?<!\\)\$\{?(\w+)\}?", lambda found: self._plainly(found[1]), document.body)
        return Stream(re.sub(r"\\([$`\\])", r"\1", known), sources, True)

    def _plainly(self, name: str) -> str:
        return f.plain(self.state.variables.get(name, UNKNOWN))

    def _written(self, redirects: Sequence[Redirect], out: Stream) -> Stream:
        """Remember what went into a file: it may be run later in the text."""
        into = [redirect for redirect in redirects if redirect.writes and redirect.output]
        for redirect in into:
            before = self.state.files.get(place(redirect.target.text))
            kept = joined([before, out]) if before is not None and not redirect.truncates else out
            self.state.files[place(redirect.target.text)] = kept
        return EMPTY if into else out

    def _for(self, node: Node, stdin: Stream, redirects: Sequence[Redirect]) -> Stream:
        name, body = node.child_by_field_name("variable"), node.child_by_field_name("body")
        values = [
            f.GLOB + w.text if w.many else w.text
            for n in node.children_by_field_name("value")
            for w in self._expander.fields(n)
        ]
        out = []
        for value in values[:LOOP_VALUES] or [f.MANY + UNKNOWN]:
            if name is not None:
                self.state.variables[text_of(name)] = value
            if body is not None:
                out.append(self.run(body, stdin, redirects))
        return joined(out)

    def _function(self, node: Node, stdin: Stream, redirects: Sequence[Redirect]) -> Stream:
        name, body = node.child_by_field_name("name"), node.child_by_field_name("body")
        if name is not None and body is not None:
            called = text_of(name)
            again = rf"(?<![\w-]){re.escape(called)}\s*(?:\||&)|(?:\||&)\s*{re.escape(called)}(?![\w-])"
            if re.search(again, text_of(body)):
                self.executor.emit(Command((Word(BOMB), Word(called)), via=self._via))
            self.state.functions[called] = body
        return EMPTY

    def _salvage(self, pieces: Sequence[str], stdin: Stream) -> None:
        """Read by the piece what the grammar did not understand as a whole."""
        for piece in pieces:
            root = parse(piece)
            if not root.has_error:
                self.run(root, stdin)
                continue
            words = f.fields(f.roughly(piece))
            if words:
                self.executor.execute(Command(tuple(words), (), stdin, self._via))


def _flat(node: Node) -> list[Node]:
    """The statements of a node; those of `a && b && c` in one row, though the tree nests them."""
    children = node.named_children
    while children and children[0].type == "list":
        children = [*children[0].named_children, *children[1:]]
    return children


def joined(streams: Sequence[Stream]) -> Stream:
    """What several commands put out, one after another."""
    texts = [stream.text for stream in streams]
    text = None if any(one is None for one in texts) else "".join(one or "" for one in texts)
    sources = distinct(source for stream in streams for source in stream.sources)
    return Stream(text, sources, any(stream.data for stream in streams))
