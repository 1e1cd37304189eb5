"""luthien-stream: an LLM gateway for AI control, built as an event-driven pipeline over Redis Streams.

`load`, `replay` and `run` are for recorded calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from luthien_stream.policy.run import run as run
    from luthien_stream.replay.in_python import load as load
    from luthien_stream.replay.in_python import replay as replay

_LAZY = {
    "run": "luthien_stream.policy.run",
    "load": "luthien_stream.replay.in_python",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for: the roles, which do not, start faster."""
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(_LAZY[name]), name)
    if name == "replay":
        from importlib import import_module

        return import_module("luthien_stream.replay")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
