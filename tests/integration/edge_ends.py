"""How calls ended: by the record, by the client, and for the next call."""

from __future__ import annotations

import json

from luthien_stream.core.accept import TERMINALS
from luthien_stream.events import log
from tests.integration.edge_rig import Got, Rig
from tests.wait import wait_until


async def ended(rig: Rig, call: str) -> dict[str, str]:
    """How each lane of a call ended, once all is on record."""
    await wait_until(lambda: rig.delivered(call))
    found: dict[str, str] = {}

    async def both() -> bool:
        for _, _, event in await rig.events(call):
            if type(event) in TERMINALS and event.n >= 0:
                assert isinstance(event, log.ResponseCompleted | log.ResponseFailed | log.ResponseAborted)
                found[event.lane] = str(getattr(event, "error", "") or getattr(event, "reason", ""))
        return "final" in found

    await wait_until(both)
    return found


async def works(rig: Rig) -> None:
    """The next request is served."""
    assert b"message_stop" in (await rig.ask("text-3")).body


def message(got: Got) -> str:
    """The message of an error body."""
    return str(json.loads(got.body)["error"]["message"])
