"""32 streams through two workers: what is asked, who owns what, and whether every client got the right bytes."""

from __future__ import annotations

from typing import Any

from luthien_stream.bus import connect
from luthien_stream.bus.keys import partition
from luthien_stream.core.partition import PARTITIONS
from tests.acceptance.clients import Received, ask_all, body
from tests.acceptance.gateway import Gateway

STREAMS = 32
PASS = [{"use": "noop"}]
HOLD = [{"use": "string_replace", "with": {"replace": [["bravo", "BRAVO"], ["delta 3 echo", "<<>>"]]}}]


def requests() -> list[tuple[str, dict[str, Any]]]:
    """Half of them in each format, each with bytes of its own."""
    formats = ("anthropic_messages", "openai_chat")
    models = ("claude/text-300@20", "gpt/text-300@20")
    return [(formats[i % 2], body(models[i % 2], said=f"stream {i}")) for i in range(STREAMS)]


async def undisturbed(gateway: Gateway) -> list[bytes]:
    """What each client gets when nothing happens."""
    calm: list[Received] = []
    await ask_all(gateway.url, requests(), calm)
    assert [one.broken for one in calm] == [""] * STREAMS
    return [one.body for one in calm]


async def owners(gateway: Gateway) -> dict[int, str]:
    """Which worker owns which partition, as the log says."""
    bus = connect(gateway.instance.redis)
    try:
        stage = await stage_of(gateway)
        return {p: await bus.lease_holder(partition(stage, p)) for p in range(PARTITIONS)}
    finally:
        await bus.close()


async def stage_of(gateway: Gateway) -> str:
    """The stage that the workers serve."""
    bus = connect(gateway.instance.redis)
    try:
        facts = await bus.alive("worker")
        return next(iter(facts.values()))["stages"].split(",")[0]
    finally:
        await bus.close()


async def spread(gateway: Gateway) -> bool:
    """Whether two workers share the partitions."""
    held = (await owners(gateway)).values()
    return len(set(held)) == 2 and all(held)


def check(got: list[Received], calm: list[bytes]) -> None:
    """Every client has the bytes of the undisturbed run, and a clean end."""
    for i, (one, want) in enumerate(zip(got, calm, strict=True)):
        assert one.broken == "", f"stream {i} ({one.call_id}): {one.broken}"
        assert one.body == want, f"stream {i} ({one.call_id}) differs"
