"""What a policy may decide about one tool call. `Stop` is one too: it ends the turn before any of its calls."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

from luthien_stream.policy.api import Stop
from luthien_stream.policy.asking import ASK_S
from luthien_stream.policy.score import Score as Score

BLOCKED = "A policy blocked this tool call."


class Allow(Struct, frozen=True):
    """Let the call through."""

    reason: str = ""


class Rewrite(Struct, frozen=True):
    """Let the call through with other arguments."""

    args: Any
    reason: str = ""


class Deny(Struct, frozen=True):
    """Drop the call: the log has `reason`, the agent is told `shown`, a constant unless you say otherwise."""

    reason: str = ""
    shown: str = BLOCKED


class Hold(Struct, frozen=True):
    """Have a person decide. Where they reject the call, or say nothing in time, the agent is told `shown`."""

    reason: str = ""
    shown: str = BLOCKED
    timeout_s: float | None = None
    """How long the person has, seconds; ten minutes if not said."""
    on_timeout: Literal["deny", "stop", "allow"] = "deny"

    @property
    def limit_s(self) -> float:
        """How long the person has, seconds."""
        return ASK_S if self.timeout_s is None else self.timeout_s


Verdict = Allow | Rewrite | Deny | Hold | Score | Stop
