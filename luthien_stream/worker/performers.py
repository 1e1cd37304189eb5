"""What a worker can do for policies, by kind: time, people, models by way of the edge, sessions, and what they keep."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any

import msgspec

from luthien_stream.bus.port import Bus
from luthien_stream.core.program import Want
from luthien_stream.errors import NoNumber
from luthien_stream.worker.asking import Asking
from luthien_stream.worker.clock import Clock
from luthien_stream.worker.effects import Perform, failure, timer
from luthien_stream.worker.patience import sure

KEPT_S = 30 * 24 * 3600.0
"""How long a policy's value is kept that says nothing of that."""
VALUE_BYTES = 64 * 1024
"""Bytes of one such value, at most."""


def performers(bus: Bus, clock: Clock, stage: str, asking: Asking) -> Mapping[str, Perform]:
    """Return them for one stage."""
    return {
        "timer": timer(clock),
        "ask": asking.perform,
        "sample": sample(clock),
        "session": session(bus, clock),
        "kv": kv(bus, clock, stage),
    }


def sample(clock: Clock) -> Perform:
    """Return the performer of `sample`: the answer comes through the log, here only the time passes.

    `args["deadline"]` is when nobody waits any more, microseconds since 1970.
    """

    async def perform(call: str, want: Want) -> Any:
        await clock.sleep(max(0.0, (int(want.args["deadline"]) - clock.now_us()) / 1e6))
        return failure("timeout", "The model's answer did not come in time")

    return perform


def session(bus: Bus, clock: Clock) -> Perform:
    """Return the performer of `session`: what is kept of `args["session"]` for the policies `args["names"]`."""

    async def perform(call: str, want: Want) -> Any:
        asked = want.args
        found = await sure(clock, lambda: bus.folds(asked["session"], asked["names"]))
        return {name: {"base": f.base, "state": f.state, "deltas": f.deltas} for name, f in found.items()}

    return perform


def kv(bus: Bus, clock: Clock, stage: str) -> Perform:
    """Return the performer of `kv`: `args["op"]` is `get`, `set` or `add`. What is repeated is done once."""

    async def perform(call: str, want: Want) -> Any:
        asked, once = want.args, f"{call}/{stage}/{want.key}"
        try:
            return await sure(clock, lambda: _kept(bus, asked, once))
        except NoNumber as error:
            return failure("no_number", str(error))

    return perform


def _kept(bus: Bus, asked: Mapping[str, Any], once: str) -> Awaitable[Any]:
    op, name, ttl_ms = asked["op"], asked["name"], int((asked.get("ttl_s") or KEPT_S) * 1000)
    if op == "get":
        return bus.recall(name)
    if op == "add":
        return bus.count(name, asked["amount"], once=once, ttl_ms=ttl_ms)
    if len(msgspec.msgpack.encode(asked["value"])) > VALUE_BYTES:
        raise ValueError(f"A policy keeps at most {VALUE_BYTES >> 10} KiB under a name")
    return bus.remember(name, asked["value"], once=once, ttl_ms=ttl_ms)
