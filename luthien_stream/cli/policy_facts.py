"""What can be said of a policy without running it: what it declares, its configuration, its code's digest."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET, Struct

from luthien_stream.errors import LuthienError
from luthien_stream.events.answer import ALL
from luthien_stream.policy.api import Policy
from luthien_stream.policy.catalogue import find, places
from luthien_stream.policy.pipeline import phases_of
from luthien_stream.policy.source import source_of

_FOR_TOOLS = ("type:", "noqa", "fmt:")
"""How comments begin that say nothing to people."""


class FieldFacts(Struct, frozen=True):
    """One field of a policy's configuration. `default` is None for a required one."""

    name: str
    type: str
    required: bool
    default: Any = None
    help: str = ""


class PolicyFacts(Struct, frozen=True):
    """One policy. `error` says why it cannot be loaded; then there is nothing but name and path."""

    name: str
    path: str
    error: str = ""
    phases: tuple[str, ...] = ()
    sees: tuple[str, ...] = ()
    hold: str = ""
    effects: tuple[str, ...] = ()
    fail: str = ""
    """`closed`, or `closed or open` where `on_error: open` may be said."""
    fields: tuple[FieldFacts, ...] = ()
    digest: str = ""
    """Of its source file: 16 hex digits of SHA-256."""
    doc: str = ""


def facts_of(name: str, folder: Path | None) -> PolicyFacts:
    """The facts of the policy of that name. Raises `ConfigError` if there is none."""
    try:
        return _facts(name, find(name, folder))
    except (LuthienError, ImportError, AttributeError) as error:
        place = places(folder).get(name)
        if place is None:
            raise
        return PolicyFacts(name, str(place if isinstance(place, Path) else place.value), " ".join(str(error).split()))


def all_facts(folder: Path | None) -> Iterator[PolicyFacts]:
    """The facts of every policy, by name."""
    for name in sorted(places(folder)):
        yield facts_of(name, folder)


def _facts(name: str, cls: type[Policy]) -> PolicyFacts:
    module = sys.modules.get(cls.__module__)
    phases = phases_of(cls)
    always = cls.redacts or cls.hold == "tail"
    return PolicyFacts(
        name,
        str(getattr(module, "__file__", None) or cls.__module__),
        phases=phases,
        sees=_sees(cls) if "response" in phases else (),
        hold=cls.hold if "response" in phases else "none",
        effects=tuple(sorted(cls.needs)),
        fail="closed" if always else "closed or open",
        fields=tuple(_fields(cls)),
        digest=sha256(source_of(cls)).hexdigest()[:16],
        doc="\n\n".join(_docs(cls, module)),
    )


def _sees(cls: type[Policy]) -> tuple[str, ...]:
    return ("all",) if cls.sees == ALL else tuple(sorted(kind.__name__ for kind in cls.sees))


def _docs(cls: type[Policy], module: Any) -> Iterator[str]:
    for found in (getattr(module, "__doc__", None), cls.__dict__.get("__doc__")):
        if found:
            yield inspect.cleandoc(found)


def _fields(cls: type[Policy]) -> Iterator[FieldFacts]:
    helps = _helps(cls)
    for one in msgspec.structs.fields(cls):
        default = None if one.required else _default(one)
        yield FieldFacts(one.encode_name, type_name(one.type), one.required, default, helps.get(one.name, ""))


def _default(one: Any) -> Any:
    value = one.default if one.default is not msgspec.NODEFAULT else one.default_factory()
    return None if value is UNSET else msgspec.to_builtins(value, order="deterministic")


def type_name(kind: Any) -> str:
    """A type as an author writes it."""
    plain = isinstance(kind, type) and not getattr(kind, "__args__", ())
    return kind.__name__ if plain else re.sub(r"\b(?:\w+\.)+(?=\w)", "", str(kind))


def _helps(cls: type[Policy]) -> Mapping[str, str]:
    """What the code says of each field: the text below it, or the comment behind it."""
    helps: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if base is Policy or not issubclass(base, Policy):
            continue
        source = source_of(base)
        lines = source.splitlines()
        for node in _body(source, base.__name__):
            helps |= _help(*node, lines)
    return helps


def _body(source: bytes, name: str) -> Iterator[tuple[ast.AnnAssign, ast.stmt | None]]:
    """The annotated names of a class, each with the statement behind it."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == name:
            for here, after in zip(node.body, [*node.body[1:], None], strict=True):
                if isinstance(here, ast.AnnAssign) and isinstance(here.target, ast.Name):
                    yield here, after


def _help(node: ast.AnnAssign, after: ast.stmt | None, lines: list[bytes]) -> Mapping[str, str]:
    name = node.target.id if isinstance(node.target, ast.Name) else ""
    if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
        return {name: " ".join(after.value.value.split())}
    rest = lines[(node.end_lineno or 1) - 1][node.end_col_offset or 0 :].decode(errors="replace").strip()
    said = rest.lstrip("# ")
    return {name: said} if rest.startswith("#") and not said.startswith(_FOR_TOOLS) else {}
