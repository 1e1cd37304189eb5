"""Setups as text for people, lines for a shell, and objects for machines."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterable
from typing import Any

import msgspec

from luthien_stream.clients.catalogue import CLIENTS
from luthien_stream.clients.model import KEY, KEY_VARIABLE, Gateway, Setup

WIDTH = 100
_MODES = {
    "passthrough": "Your own key or login goes through to the provider; the gateway wants none of its own.",
    "keys": f"The gateway wants a key of its own, in place of the provider's: {KEY} below.",
    "both": f"The gateway wants a key of its own beside your provider's: {KEY} below.",
}


def overview(gateway: Gateway, more: str) -> str:
    """The list of clients. `more` says how to see one, with `CLIENT` in it."""
    names = [f"  {name:<18}{make(gateway).title}" for name, make in CLIENTS.items()]
    lines = [f"The gateway is {gateway.url}", *_wrapped(_MODES[gateway.mode]), "", *names, "", more]
    return "\n".join(lines) + "\n"


def text(setup: Setup, gateway: Gateway) -> str:
    """One client's setup for people."""
    lines = [f"{setup.title}  (checked with {setup.checked})", *_wrapped(_MODES[gateway.mode])]
    if setup.variables:
        lines += _section("Environment")
        for variable in setup.variables:
            comment = f"  # {variable.why}" if variable.why else ""
            lines.append(f"  export {variable.name}={shlex.quote(variable.value)}{comment}")
    for file in setup.files:
        lines += [*_section(f"Or in {file.path}" if setup.variables else f"In {file.path}"), _indented(file.text)]
    if setup.code:
        lines += [*_section("Or in code"), _indented(setup.code)]
    if setup.switches:
        lines += _section("Switches")
        for switch in setup.switches:
            mark = "  # `luthien-stream run` sets it" if switch.restores else ""
            lines.append(f"  export {switch.name}={shlex.quote(switch.value)}{mark}")
            lines += _wrapped(switch.why, "      ")
    if setup.notes:
        lines += _section("Good to know")
        for note in setup.notes:
            lines += _wrapped(note, "  ")
    return "\n".join(lines) + "\n"


def shell(setup: Setup) -> str:
    """Lines for a POSIX shell's `eval`; the gateway's key is taken from a variable there."""
    return "".join(f"export {variable.name}={_shell_value(variable.value)}\n" for variable in setup.variables)


def as_object(setup: Setup, gateway: Gateway) -> dict[str, Any]:
    """One client's setup for machines."""
    return {"gateway": msgspec.to_builtins(gateway), **msgspec.to_builtins(setup)}


def _shell_value(value: str) -> str:
    taken = f'"${{{KEY_VARIABLE}:?set it to your gateway key}}"'
    return taken.join(shlex.quote(piece) if piece else "" for piece in value.split(KEY)) or "''"


def _section(title: str) -> list[str]:
    return ["", f"{title}:"]


def _indented(block: str) -> str:
    return textwrap.indent(block, "  ")


def _wrapped(sentence: str, indent: str = "") -> Iterable[str]:
    return textwrap.wrap(sentence, WIDTH, initial_indent=indent, subsequent_indent=indent)
