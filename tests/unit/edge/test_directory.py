"""Which calls there are, for clients that come back: by what is written, and what is not written yet."""

from __future__ import annotations

from luthien_stream.bus.memory import MemoryBus
from luthien_stream.edge.directory import Directory, Known
from tests.faulty import FaultyBus

CREDENTIALS = (("authorization", "Bearer mine"),)


async def begun(bus: FaultyBus) -> Directory:
    """A directory that knows who calls."""
    directory = Directory(bus.bus, 120)
    await directory.begin()
    return directory


def known(directory: Directory, call: str) -> Known:
    """A call of one caller."""
    return Known(call, "edge", "0-0", directory.caller(CREDENTIALS), "openai_chat")


async def test_what_cannot_be_written_is_written_later() -> None:
    """And known meanwhile."""
    bus = FaultyBus(MemoryBus())
    one, other = await begun(bus), await begun(bus)
    one.opened(known(one, "a"), "same")
    one.closed("a", "same", well=True)
    bus.fail("put_values", "refused")
    assert not await one.write()
    assert await other.find("a") is None
    assert await one.repeated("same") == known(one, "a")
    assert await one.write()
    assert await other.repeated("same") == known(one, "a")


async def test_a_call_that_ends_takes_nothing_from_one_that_has_begun() -> None:
    """The same request twice, not as a repeat: the later one is what a repeat asks for, until it fails."""
    bus = FaultyBus(MemoryBus())
    one, other = await begun(bus), await begun(bus)
    one.opened(known(one, "a"), "same")
    one.opened(known(one, "b"), "same")
    one.closed("a", "same", well=True)
    await one.write()
    assert await one.repeated("same") == await other.repeated("same") == known(one, "b")
    one.closed("b", "same", well=False)
    await one.write()
    assert await one.repeated("same") is await other.repeated("same") is None


async def test_a_call_that_failed_is_forgotten_before_the_next_one_begins() -> None:
    """However soon that is."""
    bus = FaultyBus(MemoryBus())
    one, other = await begun(bus), await begun(bus)
    one.opened(known(one, "a"), "same")
    one.closed("a", "same", well=False)
    one.opened(known(one, "b"), "same")
    await one.write()
    assert await other.repeated("same") == known(one, "b")


async def test_a_log_that_lost_its_data_gets_the_secret_again() -> None:
    """So that an edge that starts later knows the callers of the others."""
    memory = MemoryBus()
    bus = FaultyBus(memory)
    one = await begun(bus)
    memory.data.values.clear()
    bus.fail("claim_value", "refused")
    assert not await one.keep_secret()
    assert await one.keep_secret()
    other = await begun(bus)
    assert other.caller(CREDENTIALS) == one.caller(CREDENTIALS) != ""
