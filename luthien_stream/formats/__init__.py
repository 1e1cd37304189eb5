"""The wire formats: each is a lens that reads and writes one dialect. They know the log and policies by their ports."""

from __future__ import annotations

from collections.abc import Mapping

from luthien_stream.core.lens import Lens
from luthien_stream.formats.anthropic_messages import AnthropicMessages
from luthien_stream.formats.openai_chat import OpenAIChat
from luthien_stream.formats.openai_responses import OpenAIResponses

LENSES: Mapping[str, Lens] = {lens.name: lens for lens in (AnthropicMessages(), OpenAIChat(), OpenAIResponses())}
"""All formats by name."""
