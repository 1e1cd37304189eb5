"""The vendors' own clients as judges: they read a stream or body as they would from the network."""

from __future__ import annotations

from typing import Any

import anthropic
import httpx2
import openai

TURNS: Any = [{"role": "user", "content": "a"}]


class Judges:
    """One client of each vendor, over a network that answers what it is told."""

    def __init__(self) -> None:
        self._body, self._type = b"", ""
        self._http = httpx2.Client(transport=httpx2.MockTransport(self._answer))
        self._anthropic = anthropic.Anthropic(api_key="x", http_client=self._http, max_retries=0)
        self._openai = openai.OpenAI(api_key="x", http_client=self._http, max_retries=0)

    def close(self) -> None:
        """Let go of the clients."""
        self._http.close()

    def anthropic_stream(self, stream: bytes) -> Any:
        """The message that the SDK puts together."""
        self._body, self._type = stream, "text/event-stream"
        with self._anthropic.messages.stream(model="m", max_tokens=5, messages=TURNS) as events:
            return events.get_final_message()

    def anthropic_body(self, body: bytes) -> Any:
        """The message that the SDK reads."""
        self._body, self._type = body, "application/json"
        return self._anthropic.messages.create(model="m", max_tokens=5, messages=TURNS)

    def chat_stream(self, stream: bytes) -> Any:
        """The completion that the SDK puts together."""
        self._body, self._type = stream, "text/event-stream"
        with self._openai.chat.completions.stream(model="m", messages=TURNS) as events:
            for _ in events:
                pass
            return events.get_final_completion()

    def chat_body(self, body: bytes) -> Any:
        """The completion that the SDK reads."""
        self._body, self._type = body, "application/json"
        return self._openai.chat.completions.create(model="m", messages=TURNS)

    def responses_stream(self, stream: bytes) -> Any:
        """The response that the SDK puts together."""
        self._body, self._type = stream, "text/event-stream"
        with self._openai.responses.stream(model="m", input="a") as events:
            for _ in events:
                pass
            return events.get_final_response()

    def responses_events(self, stream: bytes) -> list[Any]:
        """The events that the SDK reads one by one."""
        self._body, self._type = stream, "text/event-stream"
        return list(self._openai.responses.create(model="m", input="a", stream=True))

    def responses_body(self, body: bytes) -> Any:
        """The response that the SDK reads."""
        self._body, self._type = body, "application/json"
        return self._openai.responses.create(model="m", input="a")

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": self._type}, content=self._body)
