"""The format of OpenAI's `/v1/chat/completions`: the lens that puts its parts together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from luthien_stream.core.lens import Checker, Decoder, Framer, Request
from luthien_stream.core.sse import frame_of
from luthien_stream.events.answer import End, Kinds, Text
from luthien_stream.formats.framing import parsed_frame
from luthien_stream.formats.json import dump
from luthien_stream.formats.openai_chat.body import BodyDecoder, BodyFramer
from luthien_stream.formats.openai_chat.check import StreamChecker
from luthien_stream.formats.openai_chat.decode import StreamDecoder
from luthien_stream.formats.openai_chat.frame import StreamFramer
from luthien_stream.formats.openai_chat.request import ChatRequest
from luthien_stream.formats.openai_chat.source import Source
from luthien_stream.formats.openai_chat.wire import FORMAT, error_fields, error_frame, made_chunk

_NO_USAGE = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}


class OpenAIChat:
    """The lens of `/v1/chat/completions`."""

    name = FORMAT

    def decoder(self, sees: Kinds) -> Decoder:
        """For a streamed answer."""
        return StreamDecoder(sees)

    def framer(self, decoder: Decoder) -> Framer:
        """For the answer that this lens's decoder reads."""
        assert isinstance(decoder, StreamDecoder)
        return StreamFramer(decoder)

    def body_decoder(self) -> Decoder:
        """For an unstreamed answer."""
        return BodyDecoder()

    def body_framer(self, decoder: Decoder) -> Framer:
        """For the answer that this lens's body decoder reads."""
        assert isinstance(decoder, BodyDecoder)
        return BodyFramer(decoder)

    def request(self, body: bytes) -> Request:
        """Read a request."""
        return ChatRequest(body)

    def mended(self, body: bytes) -> bytes:
        """A request whose history the provider takes: nothing in this format is signed."""
        return body

    def checker(self) -> Checker:
        """For one streamed answer."""
        return StreamChecker()

    def refusal(self, request: Request, text: str, call: str) -> list[bytes]:
        """A whole assistant turn that says `text`."""
        head: dict[str, Any] = {"id": f"chatcmpl-{call}", "created": 0, "model": request.model}
        if not request.streamed:
            message = {"role": "assistant", "content": text, "refusal": None}
            choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
            return [dump({**head, "object": "chat.completion", "choices": [choice], "usage": _NO_USAGE})]
        source = Source()
        source.head = {**head, "object": "chat.completion.chunk"}
        source.role = True
        framer = StreamFramer(source)
        framer.mute(made_chunk(source.head, {"role": "assistant", "content": ""}))
        framer.write(Text(text))
        framer.write(End())
        frames = framer.take()
        if isinstance(request, ChatRequest) and request.wants_usage:
            frames.insert(-1, frame_of(dump({**source.head, "choices": [], "usage": _NO_USAGE})))
        return frames

    def error_body(
        self, status: int, message: str, *, kind: str = "", code: str = "", call: str = "", param: str = ""
    ) -> bytes:
        """An HTTP error body."""
        return dump(error_fields(status, message, kind, code, param))

    def error_frame(self, status: int, message: str, *, kind: str = "", code: str = "", call: str = "") -> bytes:
        """An error inside a stream that has begun."""
        return error_frame(status, message, kind, code)

    def keepalive(self) -> bytes:
        """A comment: clients of this format take every event for a chunk."""
        return b": keep-alive\n\n"

    def usage_of(self, frames: Iterable[bytes]) -> dict[str, Any] | None:
        """Token counts in a recorded lane, None if it has none; the last ones count."""
        usage: dict[str, Any] | None = None
        for raw in frames:
            if b'"usage"' in raw:
                found = parsed_frame(raw).get("usage")
                usage = found if isinstance(found, dict) else usage
        return usage
