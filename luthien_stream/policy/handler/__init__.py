"""The older hook style, kept under its names: `from luthien_stream.policy.handler import PolicyHandler`."""

from luthien_stream.policy.context import Context
from luthien_stream.policy.handler.chunk import Chunk
from luthien_stream.policy.handler.control import (
    OutgoingQueue,
    PolicyResult,
    RequestMetadata,
    StreamAction,
    StreamControl,
)
from luthien_stream.policy.handler.hooks import PolicyHandler

StreamingContext = Context

__all__ = [
    "Chunk",
    "OutgoingQueue",
    "PolicyHandler",
    "PolicyResult",
    "RequestMetadata",
    "StreamAction",
    "StreamControl",
    "StreamingContext",
]
