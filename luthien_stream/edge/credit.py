"""When the provider may be read on: the stage, the client and the log must not fall behind by more than a bound.

A stage says how far it has seen; what it holds back is bounded by bytes in the worker, not here.
"""

from __future__ import annotations

import asyncio

from luthien_stream.edge.delivery import UNSENT_BYTES, Delivery

WINDOW = 256
"""Events sent that the stage has not seen, at most."""


class Credit:
    """The bounds of one call. `sent` is kept by the call: ordinals used on the line that the stage reads."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._room: asyncio.Future[None] | None = None
        self.sent = 0
        self.seen = 0
        self.open = False
        """No bound counts any more: nobody waits for the stage."""

    @property
    def unseen(self) -> int:
        """Events sent that the stage has not seen."""
        return self.sent - self.seen

    def see(self, upto: int) -> bool:
        """The stage has seen all below `upto`. Returns False if that is nothing new."""
        if upto <= self.seen:
            return False
        self.seen = upto
        self.look()
        return True

    def look(self) -> None:
        """Let the reader go on if there is room."""
        room = self._room
        if room is not None and not room.done() and not self._spent():
            room.set_result(None)

    async def room(self) -> None:
        """Wait until there is room."""
        while self._spent():
            self._room = asyncio.get_running_loop().create_future()
            await self._room
        self._room = None

    def _spent(self) -> bool:
        if self.open:
            return False
        return self.sent - self.seen >= WINDOW or self._delivery.unsent() > UNSENT_BYTES
