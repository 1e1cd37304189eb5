"""What a client understands of an answer, by its vendor's own SDK: the same words for all formats."""

from __future__ import annotations

import json
from typing import Any

from openai.lib.streaming.chat._completions import ChatCompletionStreamState

from tests.unit.formats.convert.pairs import ANTHROPIC, CHAT
from tests.unit.formats.sdks import Judges

Understood = dict[str, Any]


class ConvertJudges(Judges):
    """The vendors' clients, with OpenAI's responses, and chat streams that end early."""

    def responses_stream(self, stream: bytes) -> Any:
        """The response that the SDK puts together."""
        self._body, self._type = stream, "text/event-stream"
        with self._openai.responses.stream(model="m", input="a") as events:
            last = list(events)[-1]
            return last.response if last.type == "response.incomplete" else events.get_final_response()

    def responses_body(self, body: bytes) -> Any:
        """The response that the SDK reads."""
        self._body, self._type = body, "application/json"
        return self._openai.responses.create(model="m", input="a")

    def any_chat_stream(self, stream: bytes) -> Any:
        """The completion that the SDK puts together, also where its own helper would raise for the reason."""
        self._body, self._type = stream, "text/event-stream"
        state = ChatCompletionStreamState()
        for chunk in self._openai.chat.completions.create(
            model="m", messages=[{"role": "user", "content": "a"}], stream=True
        ):
            state.handle_chunk(chunk)
        return state.current_completion_snapshot

    def stream(self, client: str, stream: bytes) -> Understood:
        """What a client of this format understands of a stream."""
        if client == ANTHROPIC:
            return _message(self.anthropic_stream(stream))
        return _completion(self.any_chat_stream(stream)) if client == CHAT else _response(self.responses_stream(stream))

    def body(self, client: str, body: bytes) -> Understood:
        """What a client of this format understands of a body."""
        if client == ANTHROPIC:
            return _message(self.anthropic_body(body))
        return _completion(self.chat_body(body)) if client == CHAT else _response(self.responses_body(body))


def _message(found: Any) -> Understood:
    calls, thoughts, texts = [], [], []
    for block in found.content:
        match block.type:
            case "text":
                texts.append(block.text)
            case "thinking":
                thoughts.append((block.thinking, block.signature))
            case "redacted_thinking":
                thoughts.append(("", block.data))
            case "tool_use":
                calls.append((block.id, block.name, block.input))
    usage = found.usage
    counts = (usage.input_tokens, usage.cache_read_input_tokens or 0, usage.output_tokens)
    return _understood(texts, thoughts, calls, found.stop_reason, counts)


def _completion(found: Any) -> Understood:
    choice = found.choices[0]
    message = choice.message
    calls = [(call.id, call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or ()]
    blocks = getattr(message, "thinking_blocks", None) or ()
    thoughts = [(block.get("thinking", ""), block.get("signature") or block.get("data")) for block in blocks]
    texts = [text for text in (message.content, message.refusal) if text]
    usage = found.usage
    read = usage.prompt_tokens_details.cached_tokens if usage and usage.prompt_tokens_details else 0
    counts = (usage.prompt_tokens - read, read, usage.completion_tokens) if usage else (0, 0, 0)
    reasoning = getattr(message, "reasoning_content", None) or ""
    return _understood(texts, thoughts, calls, choice.finish_reason, counts) | {"reasoning": reasoning}


def _response(found: Any) -> Understood:
    calls, thoughts, texts = [], [], []
    for item in found.output:
        match item.type:
            case "message":
                texts += [getattr(part, "text", None) or part.refusal for part in item.content]
            case "reasoning":
                thoughts.append(("".join(part.text for part in item.summary), item.encrypted_content))
            case "function_call":
                calls.append((item.call_id, item.name, json.loads(item.arguments)))
    reason = found.incomplete_details.reason if found.incomplete_details else found.status
    usage = found.usage
    read = usage.input_tokens_details.cached_tokens
    return _understood(texts, thoughts, calls, reason, (usage.input_tokens - read, read, usage.output_tokens))


def _understood(texts: Any, thoughts: Any, calls: Any, reason: Any, usage: Any) -> Understood:
    return {"text": "".join(texts), "thoughts": thoughts, "calls": calls, "reason": reason, "usage": usage}
