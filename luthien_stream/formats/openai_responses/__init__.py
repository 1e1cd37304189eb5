"""The format of OpenAI's `/v1/responses`: the lens that puts its parts together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Raw

from luthien_stream.core.lens import Checker, Decoder, Framer, Request
from luthien_stream.events.answer import End, Kinds, Text
from luthien_stream.formats.framing import parsed_frame
from luthien_stream.formats.json import dump
from luthien_stream.formats.openai_responses.body import BodyDecoder, BodyFramer
from luthien_stream.formats.openai_responses.check import StreamChecker
from luthien_stream.formats.openai_responses.decode import StreamDecoder
from luthien_stream.formats.openai_responses.frame import StreamFramer
from luthien_stream.formats.openai_responses.items import made_content, made_message
from luthien_stream.formats.openai_responses.made import NO_USAGE, made_id, made_response, refused_head
from luthien_stream.formats.openai_responses.mend import mended
from luthien_stream.formats.openai_responses.request import ResponsesRequest
from luthien_stream.formats.openai_responses.source import Source
from luthien_stream.formats.openai_responses.wire import FORMAT, error_fields, error_frame, wrap


class OpenAIResponses:
    """The lens of `/v1/responses`."""

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
        return ResponsesRequest(body)

    def mended(self, body: bytes) -> bytes:
        """A request whose history the provider takes."""
        return mended(body)

    def checker(self) -> Checker:
        """For one streamed answer."""
        return StreamChecker()

    def refusal(self, request: Request, text: str, call: str) -> list[bytes]:
        """A whole assistant turn that says `text`."""
        head = refused_head(request, call)
        if not request.streamed:
            items = [made_message(made_id(head, "msg", 0), [made_content("text", text)])] if text else []
            return [made_response(head, items, "stop", NO_USAGE)]
        source = Source()
        source.head, source.usage = head, NO_USAGE
        framer = StreamFramer(source)
        for number, type in enumerate(("response.created", "response.in_progress")):
            framer.mute(wrap(type, sequence_number=number, response=Raw(head)))
        framer.write(Text(text))
        framer.write(End())
        return framer.take()

    def error_body(
        self, status: int, message: str, *, kind: str = "", code: str = "", call: str = "", param: str = ""
    ) -> bytes:
        """An HTTP error body."""
        return dump({"error": error_fields(status, message, kind, code, param)})

    def error_frame(self, status: int, message: str, *, kind: str = "", code: str = "", call: str = "") -> bytes:
        """An error inside a stream that has begun. Its number is 0: nobody here knows the ones before."""
        return error_frame(status, message, kind, code)

    def keepalive(self) -> bytes:
        """A comment: clients of this format take every event for one of the response, with a number of its own."""
        return b": keep-alive\n\n"

    def usage_of(self, frames: Iterable[bytes]) -> dict[str, Any] | None:
        """Token counts in a recorded lane, None if it has none; the last ones count."""
        usage: dict[str, Any] | None = None
        for raw in frames:
            if b'"usage"' in raw:
                found = parsed_frame(raw)
                response = found.get("response")
                said = found.get("usage") or (response.get("usage") if isinstance(response, dict) else None)
                usage = said if isinstance(said, dict) else usage
        return usage
