"""Which question a person means, by what the list shows of it."""

from __future__ import annotations

import pytest

from luthien_stream.bus.holds import Hold, hold_open
from luthien_stream.bus.memory import MemoryBus
from luthien_stream.cli.approvals import find
from luthien_stream.cli.hold_page import line
from luthien_stream.errors import HoldUnknown

ONE = "01a2164f-3941-74d6-94ce-cdfcdcff44e9"
TWO = "01a2164f-97b2-7c3b-878a-dd792164e2bb"


async def known(*holds: tuple[str, str]) -> MemoryBus:
    """A log with these questions, by call and key."""
    bus = MemoryBus()
    for call, key in holds:
        subject = {"tool": "bash", "arguments": "{}", "policy": "human_approval"}
        await hold_open(bus, Hold(call, key, "main@1", 0, 10**15, 0, subject), 0)
    return bus


async def test_what_the_list_shows_names_the_question() -> None:
    """And so does what its json says, and the call alone where it has one question."""
    bus = await known((ONE, "0/response/1"), (ONE, "0/response/10"), (TWO, "0/response/0"))
    for hold in (await find(bus, f"{ONE}:0/response/1"), await find(bus, f"{ONE}:0/response/10")):
        assert (await find(bus, line(hold, "waiting").split()[0])).id == hold.id
        assert (await find(bus, hold.id)).id == hold.id
    assert (await find(bus, TWO[:16])).call == TWO


async def test_what_names_several_or_none_is_told() -> None:
    """With the names to choose from."""
    bus = await known((ONE, "0/response/1"), (ONE, "0/response/10"))
    with pytest.raises(HoldUnknown, match=f"{ONE}:0/response/10"):
        await find(bus, ONE[:8])
    for unknown in ("ff", f"{ONE}:1/response/0"):
        with pytest.raises(HoldUnknown):
            await find(bus, unknown)
