"""Real clients of each format: they put an answer together and send it back verbatim, with the results of its calls."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import openai
from openai.lib.streaming.chat import ChatCompletionStreamState

from tests.integration.turns.answers import ANTHROPIC, CHAT, tools

KEY = "sk-client-canary-42"
THINKING: Any = {"type": "enabled", "budget_tokens": 1024}
SAID: Any = {"role": "user", "content": "Hello there"}
GO_ON: Any = {"role": "user", "content": "Go on."}
RESULT = "done"
_TRUST = ssl.create_default_context()
"""Made once: it takes longer than a conversation."""


class Conversation:
    """One conversation of two turns. Raises the SDK's own errors."""

    def __init__(self, model: str, *, stream: bool, thinks: bool = True) -> None:
        self._model, self._stream, self._thinks = model, stream, thinks
        self.history: list[Any] = [SAID]
        """What the next request says."""
        self.calls: list[str] = []
        """Ids of the calls in the last answer."""
        self.reason = ""
        """Why the last answer ended, in the format's own words."""
        self.answer: Any = None
        """The last answer, as the SDK put it together."""

    async def ask(self) -> None:
        """One turn: send the conversation, take the answer into it, and answer its calls."""
        raise NotImplementedError


class Claude(Conversation):
    """The SDK of Anthropic."""

    def __init__(self, client: anthropic.AsyncAnthropic, model: str, **more: Any) -> None:
        super().__init__(model, **more)
        self._client = client

    async def ask(self) -> None:
        """See `Conversation`."""
        asked: Any = {"model": self._model, "max_tokens": 2048, "messages": self.history, "tools": tools(ANTHROPIC)}
        asked |= {"thinking": THINKING} if self._thinks else {}
        if self._stream:
            async with self._client.messages.stream(**asked) as events:
                self.answer = await events.get_final_message()
        else:
            self.answer = await self._client.messages.create(**asked)
        self.reason = self.answer.stop_reason
        self.calls = [block.id for block in self.answer.content if block.type == "tool_use"]
        results = [{"type": "tool_result", "tool_use_id": id, "content": RESULT} for id in self.calls]
        next_turn = {"role": "user", "content": results} if results else GO_ON
        self.history += [{"role": "assistant", "content": self.answer.content}, next_turn]


class Chat(Conversation):
    """The SDK of OpenAI, over chat completions."""

    def __init__(self, client: openai.AsyncOpenAI, model: str, **more: Any) -> None:
        super().__init__(model, **more)
        self._client = client

    async def ask(self) -> None:
        """See `Conversation`."""
        asked: Any = {"model": self._model, "messages": self.history, "tools": tools(CHAT)}
        asked |= {"reasoning_effort": "low"} if self._thinks else {}
        if self._stream:
            state = ChatCompletionStreamState()
            async for chunk in await self._client.chat.completions.create(stream=True, **asked):
                state.handle_chunk(chunk)
            self.answer = state.current_completion_snapshot
        else:
            self.answer = await self._client.chat.completions.create(**asked)
        (choice,) = self.answer.choices
        self.reason = choice.finish_reason
        self.calls = [call.id for call in choice.message.tool_calls or ()]
        results = [{"role": "tool", "tool_call_id": id, "content": RESULT} for id in self.calls]
        self.history += [choice.message, *(results or [GO_ON])]


class Responses(Conversation):
    """The SDK of OpenAI, over responses; all items are sent again."""

    def __init__(self, client: openai.AsyncOpenAI, model: str, **more: Any) -> None:
        super().__init__(model, **more)
        self._client = client

    async def ask(self) -> None:
        """See `Conversation`. The items of a stream are those of its end."""
        asked: Any = {"model": self._model, "input": self.history, "tools": tools("openai_responses")}
        asked |= {"reasoning": {"effort": "low"}} if self._thinks else {}
        if self._stream:
            events = [event async for event in await self._client.responses.create(stream=True, **asked)]
            self.answer = events[-1].response
            done = [event.item for event in events if event.type == "response.output_item.done"]
            assert [item.to_dict() for item in done] == [item.to_dict() for item in self.answer.output]
        else:
            self.answer = await self._client.responses.create(**asked)
        details = self.answer.incomplete_details
        self.reason = details.reason if details is not None else self.answer.status
        self.calls = [item.call_id for item in self.answer.output if item.type == "function_call"]
        results = [{"type": "function_call_output", "call_id": id, "output": RESULT} for id in self.calls]
        self.history += [*self.answer.output, *(results or [GO_ON])]


@asynccontextmanager
async def conversing(form: str, url: str, model: str, *, stream: bool, thinks: bool) -> AsyncIterator[Conversation]:
    """A conversation of a client of this format with the gateway at `url`."""
    more: Any = {"api_key": KEY, "max_retries": 0}
    if form == ANTHROPIC:
        http = anthropic.DefaultAsyncHttpxClient(verify=_TRUST)
        async with anthropic.AsyncAnthropic(base_url=url, http_client=http, **more) as claude:
            yield Claude(claude, model, stream=stream, thinks=thinks)
        return
    http = openai.DefaultAsyncHttpxClient(verify=_TRUST)
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", http_client=http, **more) as client:
        kind = Chat if form == CHAT else Responses
        yield kind(client, model, stream=stream, thinks=thinks)
