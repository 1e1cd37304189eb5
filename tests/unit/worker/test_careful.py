"""What careful mode writes down, and that it convicts nobody who has ended no worker."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from luthien_stream.bus.memory import MemoryBus
from luthien_stream.events.log import ResponseCompleted
from luthien_stream.worker.poison import Suspect, read_suspect
from tests.unit.worker.toys import Hands, answer, request
from tests.wait import wait_until


@pytest.fixture
async def hands() -> AsyncIterator[Hands]:
    """A partition that an owner took over after another one had ended."""
    hands = Hands(MemoryBus())
    hands.bus.data.partition(hands.key).suspect = Suspect("gone", "1-0").text()
    yield hands
    await hands.close()


async def test_many_events_of_one_entry_are_no_crashes(hands: Hands) -> None:
    """An owner that dies later has not been ended by the call whose events it ran one by one."""
    await hands.send(request("good"))
    await hands.acquire("w1")
    last = await hands.send(*answer("good", [b"a", b"b", b"c", b"d"], end=False))
    await wait_until(lambda: hands.bus.data.partition(hands.key).cursor >= last)
    assert read_suspect(hands.bus.data.partition(hands.key).suspect) == Suspect("good", last)
    hands.kill()
    await hands.acquire("w2")
    await hands.send(ResponseCompleted(call="good", n=6, lane="original"))
    await wait_until(lambda: hands.ended("good"))
    assert isinstance(hands.lane("good")[-1], ResponseCompleted)
    assert await hands.bus.dead_letters() == []


async def test_who_leaves_in_good_order_suspects_nobody(hands: Hands) -> None:
    """However often a partition changes hands while owners are careful."""
    await hands.send(request("good"))
    owner = await hands.acquire("w1")
    last = await hands.send(*answer("good", [b"a"], end=False))
    await wait_until(lambda: hands.bus.data.partition(hands.key).cursor >= last)
    owner.leave()
    await hands.tasks.pop()
    assert hands.bus.data.partition(hands.key).suspect == ""
