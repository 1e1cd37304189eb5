"""YAML into structs with the line of every problem: all unknown keys and wrong types of a file in one go.

`load` uses it. Scalars may name environment variables as `${NAME}` or `${NAME:-otherwise}`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Literal, TypeVar, get_args, get_origin

import msgspec
import yaml

Path = tuple[str | int, ...]
Finding = tuple[Path, str]
"""Where something is wrong, and what."""
T = TypeVar("T")

VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
WRITTEN = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "a mapping"}
DEEPEST = 64
"""Levels of lists and mappings in one another."""
WORD = 24
"""Characters that are repeated of what was written."""


class Problem(msgspec.Struct, frozen=True, order=True):
    """One thing wrong with a file; `line` counts from 1, 0 means the file as a whole."""

    line: int
    message: str


class Reading:
    """One pass over a file: collects problems, and the line of every key for checks that come later."""

    def __init__(self, environ: Mapping[str, str], foreign: Collection[str] = ()) -> None:
        """`foreign` are keys at the top that another program reads: `skipped` has those that were found."""
        self.problems: list[Problem] = []
        self.lines: dict[Path, int] = {}
        self.skipped: list[str] = []
        self._environ = environ
        self._foreign = foreign

    def read(self, text: str, kind: type[T]) -> T | None:
        """Read `text` as `kind`; None if there were problems."""
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            self.problems.append(Problem(mark.line + 1 if mark else 0, f"no YAML: {error.problem or error}"))
            return None
        except yaml.YAMLError as error:
            self.problems.append(Problem(0, f"no YAML: {error}"))
            return None
        except RecursionError:
            self.problems.append(Problem(0, "it is nested too deep"))
            return None
        if node is None and get_origin(kind) is tuple:
            self.problems.append(Problem(0, "it is empty; write [] for none"))
            return None
        plain = {} if node is None else self._plain(node, kind, ())
        return None if self.problems else msgspec.convert(plain, kind)

    def line(self, path: Path) -> int:
        """The line of `path`, or of what is nearest above it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 0)

    def complain(self, path: Path, message: str) -> None:
        """Note a problem at `path`."""
        self.problems.append(Problem(self.line(path), message))

    def _plain(self, node: yaml.Node, kind: Any, path: Path) -> Any:
        """The value of a node, checked against `kind` part by part so that each problem finds its line."""
        self.lines.setdefault(path, node.start_mark.line + 1)
        if len(path) > DEEPEST:
            self.complain(path, "it is nested too deep")
            return None
        if isinstance(node, yaml.MappingNode):
            return {key: self._plain(value, inner, (*path, key)) for key, value, inner in self._items(node, kind, path)}
        if isinstance(node, yaml.SequenceNode):
            inner = get_args(kind)[0] if get_origin(kind) in (tuple, list) else Any
            values = [self._plain(item, inner, (*path, number)) for number, item in enumerate(node.value)]
            return self._checked(values, kind, path) if get_origin(kind) is not tuple else values
        return self._checked(self._scalar(node, path), kind, path)

    def _items(self, node: yaml.MappingNode, kind: Any, path: Path) -> Iterable[tuple[str, yaml.Node, Any]]:
        """Key, value node and type of each entry. Unknown and repeated keys are problems and left out."""
        fields = msgspec.structs.fields(kind) if msgspec.inspect.is_struct_type(kind) else None
        types = {field.encode_name: field.type for field in fields or ()}
        if fields is None and get_origin(kind) is not dict and kind is not Any:
            self.complain(path, f"{_name(path)} is a mapping; expected {_expected(kind)}")
            return ()
        inner = get_args(kind)[1] if get_origin(kind) is dict else Any
        found: dict[str, tuple[str, yaml.Node, Any]] = {}
        for key_node, value in node.value:
            key = str(key_node.value)
            if key in found:
                self.problems.append(Problem(key_node.start_mark.line + 1, f"`{key}` is written twice"))
            elif not path and key in self._foreign and key not in types:
                self.lines[(key,)] = key_node.start_mark.line + 1
                self.skipped.append(key)
            elif fields is not None and key not in types:
                self.problems.append(Problem(key_node.start_mark.line + 1, _unknown(key, types)))
            else:
                self.lines[(*path, key)] = key_node.start_mark.line + 1
                found[key] = (key, value, types.get(key, inner))
        for field in fields or ():
            if field.required and field.encode_name not in found:
                self.complain(path, f"{_name(path)} needs `{field.encode_name}`")
        return found.values()

    def _scalar(self, node: yaml.Node, path: Path) -> Any:
        value = yaml.SafeLoader("").construct_object(node)
        if not isinstance(value, str):
            return value
        return VARIABLE.sub(lambda match: self._variable(match, path), value)

    def _variable(self, match: re.Match[str], path: Path) -> str:
        name, otherwise = match[1], match[2]
        value = self._environ.get(name, otherwise)
        if value is None:
            self.complain(path, f"the environment variable {name} is not set (`${{{name}:-}}` makes it optional)")
            return ""
        return value

    def _checked(self, value: Any, kind: Any, path: Path) -> Any:
        if value is None and kind is not Any:
            self.complain(path, f"{_name(path)} has no value; expected {_expected(kind)}")
            return value
        try:
            msgspec.convert(value, kind)
        except msgspec.ValidationError:
            self.complain(path, f"{_name(path)} is {_what(value, kind)}; expected {_expected(kind)}")
        return value


def _name(path: Path) -> str:
    return f"`{'.'.join(map(str, path))}`" if path else "the file"


def _what(value: Any, kind: Any) -> str:
    """What was written. Itself only where there is a choice of words, for else it may be a credential."""
    if isinstance(value, str) and _is_choice(kind):
        return repr(value[:WORD])
    return next((name for written, name in WRITTEN.items() if isinstance(value, written)), "a value of another type")


def _is_choice(kind: Any) -> bool:
    return get_origin(kind) is Literal or any(map(_is_choice, get_args(kind)))


def _expected(kind: Any) -> str:
    if msgspec.inspect.is_struct_type(kind):
        return "the keys " + ", ".join(field.encode_name for field in msgspec.structs.fields(kind))
    if get_origin(kind) is Literal:
        return " or ".join(map(repr, get_args(kind)))
    if get_origin(kind) is dict:
        return "a mapping of names"
    if get_origin(kind) is tuple:
        return f"a list, each item {_expected(get_args(kind)[0])}"
    parts = get_args(kind)
    return ", or ".join(map(_expected, parts)) if parts else NAMES.get(kind, str(kind))


def _unknown(key: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(key, list(known), n=1, cutoff=0.5)
    hint = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(known)}"
    return f"unknown key `{key}`; {hint}"
