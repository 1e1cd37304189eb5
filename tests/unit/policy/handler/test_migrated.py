"""Two handlers as they were written for the older interface, over this engine."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from luthien_stream.formats import LENSES
from luthien_stream.policy import End, Event, Text, ToolCall, run
from luthien_stream.policy.handler import (
    OutgoingQueue,
    PolicyHandler,
    RequestMetadata,
    StreamAction,
    StreamControl,
)
from luthien_stream.testing.laws import CORPUS, laws
from luthien_stream.testing.rig import request_body
from luthien_stream.upstream.script import Answer, Call, Say, fragments, words

SQL = Answer(
    "m",
    (Say(words("I look, then I drop it.")), Call("1", "run_sql", fragments('{"query":"DROP TABLE users"}'))),
    "tool_calls",
)


class DefaultPolicyHandler(PolicyHandler):
    """Token limits and a content filter: held to the end, since a word may come in pieces."""

    max_tokens: int = 500
    blocked: tuple[str, ...] = ("hunter2",)

    async def apply_request_policies(self, request: Any, metadata: RequestMetadata) -> Any:
        request["max_tokens"] = min(request.get("max_tokens") or self.max_tokens, self.max_tokens)
        return request

    async def apply_response_policy(self, response: Any, metadata: RequestMetadata) -> Any:
        message = response.choices[0].message
        if message.content:
            message.content = self._filtered(message.content)
        return response

    async def apply_streaming_chunk_policy(
        self, chunk: Any, outgoing_queue: OutgoingQueue, control: StreamControl
    ) -> StreamAction:
        delta = chunk.choices[0].delta
        if delta.content:
            control.metadata["said"] = control.metadata.get("said", "") + delta.content
            return StreamAction.CONTINUE
        said = control.metadata.pop("said", "")
        if said:
            await outgoing_queue.put({"choices": [{"delta": {"content": self._filtered(said)}}]})
        await outgoing_queue.put(chunk)
        return StreamAction.CONTINUE

    def _filtered(self, text: str) -> str:
        return re.sub("|".join(map(re.escape, self.blocked)), "[filtered]", text)


class SqlProtection(PolicyHandler):
    """Says so instead of a harmful query."""

    harmful: str = r"(?i)\b(drop|delete|truncate)\b"

    def apply_streaming_chunk_policy(self, chunk: Any, control: StreamControl) -> Any:
        kept, calls = [], chunk.choices[0].delta.tool_calls
        for call in calls or ():
            query = msgspec.json.decode(call.function.arguments).get("query", "")
            if re.search(self.harmful, query):
                kept.append({"choices": [{"delta": {"content": "BLOCKED: harmful SQL."}}]})
            else:
                kept.append(chunk)
        return kept if calls else chunk


@pytest.mark.parametrize("form", LENSES)
def test_token_limits(form: str) -> None:
    """Requests for more are asked for less; for less, they stay."""
    limits: dict[str, Any]
    for asked, granted in ((1000, 500), (100, 100)):
        limits = {"max_tokens": asked, "max_output_tokens": asked}
        request = run(DefaultPolicyHandler(), request=LENSES[form].request(request_body(**limits))).request
        assert request is not None
        assert request.max_tokens == granted


def test_content_filter() -> None:
    """Wherever the provider cut the word."""
    came: list[Event] = [Text("The word is hun"), Text("ter2, no"), ToolCall("1", "a", "{}"), Text("hi"), End("stop")]
    transcript = run(DefaultPolicyHandler(), came)
    assert transcript.text == "The word is [filtered], nohi"


def test_sql_protection() -> None:
    """The harmful call is gone, the harmless one is the very event."""
    harmless = ToolCall("2", "run_sql", '{"query":"SELECT 1"}')
    came: list[Event] = [ToolCall("1", "run_sql", '{"query":"DROP TABLE users"}'), harmless, End("tool_calls")]
    transcript = run(SqlProtection(), came)
    assert transcript.text == "BLOCKED: harmful SQL."
    assert transcript.tool_calls == [harmless]
    assert transcript.tool_calls[0] is harmless


@pytest.mark.parametrize("handler", [DefaultPolicyHandler(), SqlProtection()])
def test_laws(handler: PolicyHandler) -> None:
    """Both mean the same however an answer is cut."""
    laws(handler, [*CORPUS, SQL])
