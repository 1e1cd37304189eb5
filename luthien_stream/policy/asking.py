"""Asking a person about a tool call: what is held, what is shown of it, and what the answer can be."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Literal, get_args

import msgspec
from msgspec import Struct

from luthien_stream.core.program import Want
from luthien_stream.events.answer import ToolCall
from luthien_stream.events.log import CallHeld
from luthien_stream.policy.effects import failed, is_failure
from luthien_stream.policy.facts import CallFacts, Identity, Place

ASK_S = 600.0
"""How long a person has, unless the policy says otherwise, seconds."""
_GRACE_S = 10.0
Decision = Literal["approve", "reject", "modify", "expired"]


class Approval(Struct, frozen=True):
    """What came of asking a person. `args` are the arguments that a `modify` puts in place of the call's own."""

    decision: Decision
    by: str = ""
    args: Any = None

    @classmethod
    def of(cls, value: Any) -> Approval:
        """Read a recorded result; nobody's answer in time is `expired`. Raises `EffectFailed` for anything else."""
        if is_failure(value):
            if value["error"] == "timeout":
                return cls("expired")
            raise failed("ask", value["error"], value.get("message", ""))
        if not isinstance(value, dict) or value.get("decision") not in get_args(Decision):
            raise failed("ask", "bad_answer", "It is none of approve, reject, modify, expired")
        return cls(value["decision"], value.get("by", ""), value.get("args"))


def hold(call: ToolCall, reason: str, key: str, me: Identity, facts: CallFacts, place: Place) -> CallHeld:
    """Return the event that says what is held; its deadline is not set yet."""
    subject = {
        "policy": me.name,
        "version": me.version,
        "tool": call.name,
        "arguments": call.arguments,
        "id": call.id,
        "reason": reason,
        "session": facts.session,
        "model": facts.model,
        "digest": digest(call, me.version),
    }
    return CallHeld(call=facts.id, key=key, stage=place.stage, partition=place.partition, subject=subject)


def asked(held: CallHeld, timeout_s: float) -> Want:
    """Return the effect to wait for. The owner has its deadline in `args`; the timeout is for one that misses it."""
    args = {"digest": held.subject["digest"], "deadline": held.deadline, "subject": held.subject}
    return Want(held.key, "ask", args, timeout_s + _GRACE_S)


def digest(call: ToolCall, version: str) -> str:
    """SHA-256 (hex) over tool, arguments in canonical JSON and the policy's version: what a person decides on."""
    try:
        arguments = msgspec.json.encode(call.args, order="deterministic").decode()
    except msgspec.DecodeError:
        arguments = ascii(call.arguments)
    return sha256(msgspec.json.encode([call.name, arguments, version])).hexdigest()
