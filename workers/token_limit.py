"""Limit the length of answers: the provider is asked for at most `max_tokens`, and text that goes on is ended.

The provider counts tokens; here, without its tokenizer, `max_tokens * characters_per_token` characters of text are
allowed through, an estimate for providers that ignore the limit. Thinking and tool calls are left to the provider.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from luthien_stream.policy import Context, End, Event, Events, Policy, Request, Text


class TokenLimit(Policy):
    """End answers politely, with reason `length`."""

    sees = frozenset({Text})

    max_tokens: int
    characters_per_token: float = 4.0

    def __post_init__(self) -> None:
        if self.max_tokens < 1 or self.characters_per_token <= 0:
            raise ValueError("`max_tokens` must be at least 1, `characters_per_token` more than 0")

    async def request(self, request: Request, ctx: Context) -> Request:
        """Ask for no more than the limit."""
        asked = request.max_tokens
        if asked is not None and asked <= self.max_tokens:
            return request
        return request.set_max_tokens(self.max_tokens)

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Pass text until the limit is reached, and nothing after it."""
        room = int(self.max_tokens * self.characters_per_token)
        async for event in events:
            if isinstance(event, Text):
                if len(event.text) > room:
                    ctx.verdict("stop", f"more than {self.max_tokens} tokens, estimated")
                    yield event.with_text(event.text[:room])
                    yield End("length")
                    return
                room -= len(event.text)
            yield event
