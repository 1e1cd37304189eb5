"""One call whose client and provider speak different formats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from luthien_stream.core.lens import Violation
from luthien_stream.core.sse import data_of
from luthien_stream.events.log import Header
from luthien_stream.formats.anthropic_messages.wire import error_fields as anthropic_error
from luthien_stream.formats.cell import readable
from luthien_stream.formats.convert.answer.errors import failure_in, for_anthropic, openai_kind
from luthien_stream.formats.convert.answer.from_anthropic import MessagesReader, read_message
from luthien_stream.formats.convert.answer.from_chat import ChatReader, read_completion
from luthien_stream.formats.convert.answer.from_responses import ResponsesReader, read_response
from luthien_stream.formats.convert.answer.message import folded
from luthien_stream.formats.convert.answer.own_tools import OwnTools
from luthien_stream.formats.convert.answer.pieces import Ended, Failed, Piece, Reader, Writer
from luthien_stream.formats.convert.answer.response_items import ECHOED
from luthien_stream.formats.convert.answer.to_anthropic import MessagesWriter, write_message
from luthien_stream.formats.convert.answer.to_chat import ChatWriter, write_completion
from luthien_stream.formats.convert.answer.to_responses import ResponsesWriter, write_response
from luthien_stream.formats.convert.headers import converted
from luthien_stream.formats.convert.request.conversation import Conversation, Tool
from luthien_stream.formats.convert.request.fields import must_be
from luthien_stream.formats.convert.request.from_anthropic import read_messages
from luthien_stream.formats.convert.request.from_chat import read_chat, wants_usage
from luthien_stream.formats.convert.request.from_responses import read_responses
from luthien_stream.formats.convert.request.to_anthropic import write_messages
from luthien_stream.formats.convert.request.to_chat import write_chat
from luthien_stream.formats.convert.request.to_responses import write_responses
from luthien_stream.formats.errors import ProtocolError, RequestError
from luthien_stream.formats.framing import Notes
from luthien_stream.formats.json import dump, parse
from luthien_stream.formats.openai_chat.wire import error_fields as openai_error

ANTHROPIC, CHAT, RESPONSES = "anthropic_messages", "openai_chat", "openai_responses"
PATHS: Mapping[str, str] = {ANTHROPIC: "/v1/messages", CHAT: "/v1/chat/completions", RESPONSES: "/v1/responses"}
_ENDS = (Ended, Failed)
_READ: Mapping[str, Callable[[Any], Conversation]] = {
    ANTHROPIC: read_messages,
    CHAT: read_chat,
    RESPONSES: read_responses,
}
_WRITE: Mapping[str, Callable[[Conversation, str], bytes]] = {
    ANTHROPIC: write_messages,
    CHAT: write_chat,
    RESPONSES: write_responses,
}
_READERS: Mapping[str, Callable[[], Reader]] = {ANTHROPIC: MessagesReader, CHAT: ChatReader, RESPONSES: ResponsesReader}
_BODIES: Mapping[str, Callable[[bytes, Notes], list[Piece]]] = {
    ANTHROPIC: read_message,
    CHAT: read_completion,
    RESPONSES: read_response,
}


class Transcoder:
    """Frames of one streamed answer from the provider's format to the client's. Raises `ProtocolError`."""

    def __init__(self, reader: Reader, writer: Writer, own_tools: OwnTools) -> None:
        self._reader, self._writer = reader, writer
        self._own_tools = own_tools if own_tools else None
        self.ended = False
        """True once the answer is whole or has failed in the provider's own words. If it is not by the end of the
        stream, the provider broke off: nothing was written for that, and the client's connection must break too."""

    def frame(self, raw: bytes) -> list[bytes]:
        """Take one frame; return the client's."""
        if not raw.isascii():
            readable(raw)
        return self._write(self._reader.frame(raw))

    def close(self, rest: bytes = b"") -> list[bytes]:
        """The stream ended; `rest` is what had no blank line, and is read if it is a whole event."""
        frames = []
        if not self.ended and rest and _is_whole(rest):
            frames = self.frame(rest.rstrip(b"\r\n") + b"\n\n")
        return [*frames, *self._write(self._reader.close())]

    def notes(self) -> list[Violation]:
        """What was dropped since the last call."""
        return [*self._reader.notes(), *self._writer.notes()]

    def _write(self, pieces: Iterable[Piece]) -> list[bytes]:
        writer = self._writer
        for piece in self._own_tools.restored(pieces) if self._own_tools is not None else pieces:
            writer.write(piece)
            if piece.__class__ in _ENDS:
                self.ended = True
        return writer.take()


class Conversion:
    """Requests one way and answers the other, for one call. `request` comes first.

    `created` is the time of the call in Unix seconds, for answers whose provider does not say theirs.
    """

    def __init__(self, client: str, provider: str, created: int = 0) -> None:
        self._client, self._provider, self._created = client, provider, created
        self.path = PATHS[provider]
        """The provider's path. The client's query does not go with it."""
        self._model = ""
        self._tools: Sequence[Tool] = ()
        self._usage = False
        self._echo: dict[str, Any] = {}
        self._notes = Notes()

    def request(self, body: bytes, model: str) -> bytes:
        """The provider's request for a model. Raises `RequestError` for what cannot be carried over."""
        try:
            said = parse(body)
        except ValueError as error:
            raise RequestError(f"The body is no JSON: {error}.") from None
        if not isinstance(said, dict):
            raise must_be("body", "a JSON object")
        conversation = _READ[self._client](said)
        self._model, self._tools = str(said.get("model") or model), conversation.tools
        self._usage = self._client == CHAT and wants_usage(said)
        for message in conversation.left_out:
            self._notes.add("left_out", message)
        if self._client == RESPONSES:
            self._echo = {name: said[name] for name in ECHOED if said.get(name) is not None}
        return _WRITE[self._provider](conversation, model)

    def headers(self, headers: Iterable[Header]) -> tuple[Header, ...]:
        """The headers for the provider; its credential is the caller's to add."""
        return converted(headers, self._provider)

    def stream(self) -> Transcoder:
        """For a streamed answer."""
        return Transcoder(_READERS[self._provider](), self._writer(), OwnTools(self._tools, self._provider))

    def body(self, raw: bytes) -> bytes:
        """An unstreamed answer in the client's format. Raises `ProtocolError` where it cannot be read."""
        readable(raw)
        pieces = _BODIES[self._provider](raw, self._notes)
        failed = next((piece for piece in pieces if isinstance(piece, Failed)), None)
        if failed is not None:
            raise ProtocolError(f"The provider failed: {failed.message}")
        message = folded(OwnTools(self._tools, self._provider).restored(pieces))
        match self._client:
            case "anthropic_messages":
                return write_message(message, self._model)
            case "openai_chat":
                return write_completion(message, self._model, self._created)
        return write_response(message, self._model, self._created, self._echo)

    def error(self, status: int, body: bytes, call: str = "") -> bytes:
        """A provider's HTTP error in the client's dialect: status and message stay, its kind has a counterpart."""
        if ANTHROPIC not in (self._client, self._provider):
            return body
        failed = failure_in(status, body)
        if self._client == ANTHROPIC:
            failed = for_anthropic(failed)
            return dump(anthropic_error(failed.status, failed.message, failed.kind, call))
        return dump(openai_error(failed.status, failed.message, openai_kind(failed), failed.code))

    def notes(self) -> list[Violation]:
        """What was left out of the request, or dropped from an unstreamed answer, since the last call."""
        return self._notes.take()

    def _writer(self) -> Writer:
        match self._client:
            case "anthropic_messages":
                return MessagesWriter(self._model)
            case "openai_chat":
                return ChatWriter(self._model, self._created, self._usage)
        return ResponsesWriter(self._model, self._created, self._echo)


def _is_whole(rest: bytes) -> bool:
    data = data_of(rest)
    if not data or data.strip() == b"[DONE]":
        return bool(data)
    try:
        parse(data)
    except ValueError:
        return False
    return True
