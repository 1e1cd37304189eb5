"""luthien-stream: an LLM gateway for AI control, built as an event-driven pipeline over Redis Streams."""

__version__ = "0.1.0"
