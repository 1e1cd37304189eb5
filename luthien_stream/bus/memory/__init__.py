"""The bus inside one process: for `redis: memory`, and for tests, where the server can be made to forget."""

from luthien_stream.bus.memory.bus import MemoryBus, Snapshot

__all__ = ["MemoryBus", "Snapshot"]
