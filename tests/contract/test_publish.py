"""Publishing over a bad connection: one logical copy downstream, whatever was executed how often and when."""

from __future__ import annotations

import asyncio

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from luthien_stream.bus import keys
from luthien_stream.bus.outbox import Outbox
from luthien_stream.bus.port import START, Bus
from luthien_stream.events.log import ChunkReceived
from luthien_stream.events.pack import decode
from tests.contract.conftest import Backend
from tests.faulty import Fault, FaultyBus

IN = keys.partition_stream(keys.partition("main@ab12cd34", 0))
CALLS = ("a", "b")
EVENTS = 6
FAULTS: list[Fault] = ["", "refused", "dropped", "reply_lost", "late"]


async def accepted(bus: Bus) -> dict[str, list[int]]:
    """By call, what a stage takes of the stream: the next ordinal only."""
    taken: dict[str, list[int]] = {call: [] for call in CALLS}
    for entry in await bus.range(IN, START):
        for event in decode(entry.raw).events:
            if event.n == len(taken[event.call]):
                taken[event.call].append(event.n)
    return taken


async def publish(bus: FaultyBus) -> set[str]:
    """Publish the events of two calls, and return the calls lost."""
    lost: set[str] = set()
    outbox = Outbox(bus.bus, IN, "edge:e1", on_lost=lost.update, max_events=3)
    running = asyncio.create_task(outbox.run())
    for n in range(EVENTS):
        for call in CALLS:
            outbox.put(ChunkReceived(call=call, n=n, frame=b"x"))
        await asyncio.sleep(0)
    await outbox.close(5)
    await running
    await bus.run_late()
    return lost


async def test_a_bad_connection_leaves_one_copy(backend: Backend) -> None:
    """Each fault on its own, twice in a row."""
    for fault in FAULTS:
        bus = FaultyBus(backend.bus)
        bus.fail("append", fault, times=2)
        assert await publish(bus) == set()
        assert await accepted(backend.bus) == {call: list(range(EVENTS)) for call in CALLS}
        await backend.bus.trim_stream(IN, f"{2**52}-0", max_age_ms=0)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(FAULTS), max_size=4))
async def test_any_faults_leave_one_copy(backend: Backend, faults: list[Fault]) -> None:
    """Any order of faults."""
    plan = iter(faults)
    bus = FaultyBus(backend.bus, lambda method: next(plan, "") if method == "append" else "")
    await backend.bus.trim_stream(IN, f"{2**52}-0", max_age_ms=0)
    assert await publish(bus) == set()
    assert await accepted(backend.bus) == {call: list(range(EVENTS)) for call in CALLS}


async def test_an_entry_that_is_no_pack_harms_nobody(backend: Backend) -> None:
    """Foreign bytes in a stream are read like any entry, and what comes after them is whole."""
    bus = backend.bus
    await bus.append(IN, b"\xc1 no pack")
    await bus.append(IN, b"")
    async with bus.reader() as reader:
        assert [entry.raw for entry in await reader.read({IN: START})] == [b"\xc1 no pack", b""]
