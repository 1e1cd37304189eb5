"""What the tests of `policies try` share: how one is run, and policies to try."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Lines = list[dict[str, Any]]
Try = Callable[..., tuple[int, Lines, str]]
ASK = '''
"""Ask."""
from luthien_stream.policy import Hold, gate


@gate()
async def asks(call, ctx):
    return Hold("is it fine?", "No.")
'''
ORACLE = '''
"""Ask something that nobody else asks."""
from luthien_stream.core.program import Want
from luthien_stream.policy import Policy, Text
from luthien_stream.policy.effects import perform


class Oracle(Policy):
    async def response(self, events, ctx):
        found = await perform(Want("0/response/0", "oracle", None, 5.0))
        async for event in events:
            yield event.with_text(found) if isinstance(event, Text) else event
'''
CRASH = '''
"""Crash."""
from luthien_stream.policy import Policy


class Crash(Policy):
    async def response(self, events, ctx):
        async for event in events:
            yield {}["x"]
'''
REFUSE = '''
"""Refuse."""
from luthien_stream.policy import Policy, Refuse


class Refuses(Policy):
    async def request(self, request, ctx):
        for part in request.parts():
            if part.new and "bad" in part.text:
                raise Refuse("Not here.", f"bad {part.role}")
            if part.new and "soft" in part.text:
                return request.replace(part, part.text.replace("soft", "hard"))
        return request
'''
POLICIES = {"asks": ASK, "oracle": ORACLE, "crash": CRASH, "refuses": REFUSE}
