"""What all partitions of one worker process share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from luthien_stream.bus.port import Bus
from luthien_stream.core.program import Program
from luthien_stream.worker.asking import Asking
from luthien_stream.worker.clock import Clock
from luthien_stream.worker.effects import Perform
from luthien_stream.worker.limits import Limits
from luthien_stream.worker.presence import Presence
from luthien_stream.worker.stall import Watch


@dataclass(frozen=True)
class Station:
    """`stage` is a stage's key, `make` makes the program of one call, `worker` is this process."""

    bus: Bus
    worker: str
    stage: str
    make: Callable[[], Program]
    clock: Clock
    limits: Limits
    watch: Watch
    presence: Presence
    asking: Asking
    performers: Mapping[str, Perform]
    recorded: bool = True
    """There is an activity consumer, which must see the partitions."""
