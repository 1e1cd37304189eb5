"""The format of Anthropic's `/v1/messages`: the lens that puts its parts together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from luthien_stream.core.lens import Checker, Decoder, Framer, Request
from luthien_stream.events.answer import End, Kinds, Text
from luthien_stream.formats.anthropic_messages.body import BodyDecoder, BodyFramer
from luthien_stream.formats.anthropic_messages.check import StreamChecker
from luthien_stream.formats.anthropic_messages.decode import StreamDecoder
from luthien_stream.formats.anthropic_messages.frame import StreamFramer
from luthien_stream.formats.anthropic_messages.mend import mended
from luthien_stream.formats.anthropic_messages.request import MessagesRequest
from luthien_stream.formats.anthropic_messages.source import Source
from luthien_stream.formats.anthropic_messages.wire import FORMAT, error_fields, error_frame, wrap
from luthien_stream.formats.framing import parsed_frame
from luthien_stream.formats.json import dump


class AnthropicMessages:
    """The lens of `/v1/messages`."""

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
        return MessagesRequest(body)

    def mended(self, body: bytes) -> bytes:
        """A request whose history the provider takes."""
        return mended(body)

    def checker(self) -> Checker:
        """For one streamed answer."""
        return StreamChecker()

    def refusal(self, request: Request, text: str, call: str) -> list[bytes]:
        """A whole assistant turn that says `text`."""
        head = {"id": f"msg_{call}", "type": "message", "role": "assistant", "model": request.model}
        usage = {"input_tokens": 0, "output_tokens": 0}
        if not request.streamed:
            content = [{"type": "text", "text": text}] if text else []
            body = {**head, "content": content, "stop_reason": "end_turn", "stop_sequence": None, "usage": usage}
            return [dump(body)]
        source = Source()
        source.head, source.usage = head, usage
        framer = StreamFramer(source)
        framer.write(Text(text))
        framer.write(End())
        return framer.take()

    def error_body(
        self, status: int, message: str, *, kind: str = "", code: str = "", call: str = "", param: str = ""
    ) -> bytes:
        """An HTTP error body."""
        return dump(error_fields(status, message, kind, call))

    def error_frame(self, status: int, message: str, *, kind: str = "", code: str = "", call: str = "") -> bytes:
        """An error inside a stream that has begun."""
        return error_frame(status, message, kind, call)

    def keepalive(self) -> bytes:
        """A frame that means nothing."""
        return wrap("ping", {})

    def usage_of(self, frames: Iterable[bytes]) -> dict[str, Any] | None:
        """Token counts in a recorded lane, None if it has none."""
        source = Source()
        for raw in frames:
            if b'"usage"' in raw:
                found = parsed_frame(raw)
                message = found.get("message")
                source.count(found.get("usage") or (message.get("usage") if isinstance(message, dict) else None))
        return source.usage
