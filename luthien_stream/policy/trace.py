"""Where a policy failed, in words that are the same on every machine: no folders, no addresses."""

from __future__ import annotations

import re
import sys
from collections.abc import AsyncGenerator, Coroutine
from pathlib import PurePath
from typing import Any

_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")
_LONGEST = 500
Running = AsyncGenerator[Any, Any] | Coroutine[Any, Any, Any] | None


def place(error: BaseException, running: Running, cls: type) -> str:
    """Return `file:line` of the policy's own code that raised `error`, or where it stands still."""
    file = getattr(sys.modules.get(cls.__module__), "__file__", None) or ""
    found, trace = "", error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            found = f"{PurePath(file).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    frame = getattr(running, "ag_frame", None) or getattr(running, "cr_frame", None)
    if not found and frame is not None:
        found = f"{PurePath(frame.f_code.co_filename).name}:{frame.f_lineno}"
    return found or PurePath(file).name or cls.__name__


def in_hand(event: object | None, n: int) -> str:
    """Return which event a policy was given last; `n` is the ordinal, among what came in, of what it was read from."""
    if event is None:
        return "before its first event"
    return f"at {type(event).__name__}" + (f", input {n}" if n >= 0 else "")


def describe(error: BaseException, running: Running, cls: type, at: str) -> str:
    """Return one line: where in the policy's code, what kind, what the error says, and at which event."""
    text = _ADDRESS.sub("0x…", " ".join(str(error).split()))[:_LONGEST]
    return f"{place(error, running, cls)}: {type(error).__name__}: {text} ({at})"
