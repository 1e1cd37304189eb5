"""The edge on a real server that dies: down at the start, down in the middle of a call, back again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from luthien_stream.bus import connect
from luthien_stream.bus.port import Bus
from luthien_stream.embedded.valkey import EmbeddedValkey
from luthien_stream.events.answer import Event
from luthien_stream.policy.api import Policy
from luthien_stream.policy.context import Context
from luthien_stream.policy.stream import Events
from tests.integration.edge_rig import Rig, running
from tests.servers import own_valkey, shared_valkey, valkey_url
from tests.wait import wait_until

__all__ = ["own_valkey", "shared_valkey", "valkey_url"]


class PassOn(Policy):
    """Takes part in both phases and changes nothing."""

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Yield what comes."""
        async for event in events:
            yield event


@asynccontextmanager
async def edge_at(url: str, *policies: Policy, workers: int = 1) -> AsyncIterator[Rig]:
    """An edge and its workers on a server."""
    bus: Bus = connect(url)
    try:
        async with running(*policies, bus=bus, workers=workers) as rig:
            await wait_until(lambda: not rig.edge.admission.not_ready)
            yield rig
    finally:
        await bus.close()


async def test_many_streams_through_a_real_server(valkey_url: str) -> None:
    """Policed, byte for byte."""
    async with edge_at(valkey_url, PassOn()) as rig:
        models = [f"text-{20 + i}" for i in range(32)]
        every = await asyncio.gather(*(rig.ask(model) for model in models))
        sent = {seen.json["model"]: b"".join(seen.sent) for seen in rig.provider.requests}
        assert [got.body for got in every] == [sent[model] for model in models]


async def test_a_client_that_comes_back_through_a_real_server(valkey_url: str) -> None:
    """A parked call is resumed, and a repeated request gets its answer from another edge."""
    headers = {"authorization": "Bearer sk-client-canary-42"}
    async with edge_at(valkey_url, PassOn()) as rig, edge_at(valkey_url, PassOn()) as other:
        first = await rig.ask("text-50", headers={**headers, "x-stainless-retry-count": "0"})

        async def known() -> bool:
            return await other.shared.get_value(f"call:{first.call}") is not None

        await wait_until(known)
        again = await other.ask("text-50", headers={**headers, "x-stainless-retry-count": "1"})
        assert (again.call, again.body) == (first.call, first.body)
        back = await other.send("GET", f"/v1/calls/{first.call}/stream", headers=headers)
        assert b"".join(frame.split(b"\n", 1)[1] for frame in back.frames) == first.body
        assert not other.provider.requests


async def test_a_server_that_is_killed_in_the_middle_of_a_call_costs_no_byte(own_valkey: EmbeddedValkey) -> None:
    """Relayed and policed calls go on where they were once it is back."""
    async with edge_at(own_valkey.url, PassOn()) as policed, edge_at(own_valkey.url) as relayed:
        asking = [asyncio.create_task(rig.ask("text-100@40")) for rig in (policed, relayed)]
        for rig in (policed, relayed):
            await wait_until(lambda rig=rig: any(call.last > 5 for call in rig.edge.calls.values()))  # type: ignore[misc]
        own_valkey.kill()
        await own_valkey.start()
        for got, rig in zip(await asyncio.gather(*asking), (policed, relayed), strict=True):
            assert got.body == b"".join(rig.provider.requests[0].sent)
            assert not got.broken


async def test_without_a_server_nothing_is_taken_and_it_opens_by_itself(own_valkey: EmbeddedValkey) -> None:
    """503 and not ready, but alive; then the next request works."""
    async with edge_at(own_valkey.url) as rig:
        assert (await rig.ask("text-3")).status == 200
        own_valkey.kill()
        await wait_until(lambda: bool(rig.edge.admission.not_ready), timeout=20)
        got = await rig.ask("text-3")
        assert (got.status, got.headers["retry-after"]) == (503, "2")
        assert (await rig.send("GET", "/readyz")).status == 503
        assert (await rig.send("GET", "/livez")).status == 200
        assert len(rig.provider.requests) == 1
        await own_valkey.start()
        await wait_until(lambda: not rig.edge.admission.not_ready)
        assert (await rig.ask("text-3")).status == 200


async def test_an_inbox_that_nobody_reads_is_kept_short_too() -> None:
    """Without policies an open call keeps what was written since it began, not all since the edge began."""
    async with running() as rig:
        await rig.ask("text-3")
        await rig.events()
        await rig.edge.beats.upkeep()
        written = await rig.bus.last_id(rig.edge.inbox.stream)
        rig.provider.script("never")
        asked = asyncio.create_task(rig.ask("any"))
        await wait_until(lambda: bool(rig.edge.calls))
        (call,) = rig.edge.calls.values()
        assert call.inbox_from == written
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
