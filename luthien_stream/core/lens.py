"""The port of a wire format. A lens decodes frames to answer events and frames answer events back.

Implementations live in `formats/`; the policy engine and the edge know this port only. All of it is without IO.
Streamed and unstreamed answers take the same way: an unstreamed body is one cell with all its events.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, Protocol

from msgspec import Struct

from luthien_stream.events.answer import Event, Kinds


class Violation(Struct, frozen=True):
    """A frame breaks a rule of its format."""

    rule: str
    message: str


class RequestPart(Struct, frozen=True):
    """One piece of a request's conversation, flat over system, messages and tool results, in order."""

    role: str
    kind: Literal["text", "tool_result", "tool_call", "image", "thinking", "other"]
    text: str
    name: str = ""
    id: str = ""
    path: tuple[str | int, ...] = ()
    new: bool = False
    """After the last assistant turn."""


class Request(Protocol):
    """A client's request as policies see and edit it; without an edit its bytes are the original bytes.

    Every edit returns a new request; an edit keeps key order, numbers and unknown fields of what it does not touch.
    """

    @property
    def body(self) -> bytes:
        """The bytes for the provider."""

    @property
    def changed(self) -> bool:
        """True after an edit that changed something."""

    @property
    def model(self) -> str: ...
    @property
    def streamed(self) -> bool: ...
    @property
    def max_tokens(self) -> int | None: ...
    @property
    def choices(self) -> int:
        """How many answers are asked for (`n`), 1 if not said."""

    @property
    def messages(self) -> Sequence[Any]:
        """A read-only view in OpenAI chat form, whatever the wire."""

    @property
    def tools(self) -> Sequence[Any]:
        """A read-only view in OpenAI chat form."""

    def get(self, field: str) -> Any:
        """A top-level field of the body, parsed; None if absent."""

    def parts(self) -> Sequence[RequestPart]: ...
    def set(self, field: str, value: Any) -> Request: ...
    def unset(self, field: str) -> Request:
        """Take a top-level field out."""

    def set_model(self, model: str) -> Request: ...
    def set_max_tokens(self, limit: int) -> Request: ...
    def replace(self, part: RequestPart, text: str) -> Request: ...
    def replace_all(self, texts: Iterable[tuple[RequestPart, str]]) -> Request:
        """Give several parts another text, in one pass over the body."""

    def add_system(self, text: str) -> Request: ...
    def add_user(self, text: str) -> Request: ...
    def drop_tool(self, name: str) -> Request: ...
    def drop(self, part: RequestPart) -> Request: ...


class Decoder(Protocol):
    """Frames of one answer to events, in order."""

    head: Any
    """What identifies the answer (id, model, ...), None before it is known; the framer makes its own frames with it."""
    usage: dict[str, Any] | None
    """The provider's token counts so far."""

    def frame(self, raw: bytes) -> Sequence[bytes | Event]:
        """Take one frame; return what is complete now. `bytes` is a mute frame: no policy sees it."""

    def switch(self, usage: dict[str, Any] | None) -> None:
        """What ends now is another answer of the same call, with these token counts; its end is made anew."""

    def close(self, rest: bytes = b"") -> Sequence[bytes | Event]:
        """The stream ended: `rest` is what had no blank line. An answer without its end gives `End("cut")`."""


class Framer(Protocol):
    """Events back to frames. It cannot write a wrong shape: what it cannot place it drops and notes."""

    def mute(self, raw: bytes) -> None:
        """Write a frame that no policy sees."""

    def write(self, event: Event) -> None:
        """Write what a policy chain put out. Raises `FrameError` for an edit that cannot be (signed thinking)."""

    def flush(self) -> None:
        """The chain waits: write gathered cells whose events have only partly come through."""

    def finish(self) -> None:
        """Nothing more will be written: close what is open."""

    def take(self) -> list[bytes]:
        """The frames written since the last `take`, ready for the client."""

    def notes(self) -> Sequence[Violation]:
        """What was dropped, or violated by what policies did, since the last call."""


class Checker(Protocol):
    """The last look at the bytes before they leave."""

    def frame(self, raw: bytes) -> Sequence[Violation]: ...


class Lens(Protocol):
    """A wire format."""

    name: str

    def decoder(self, sees: Kinds) -> Decoder:
        """For a streamed answer. Kinds outside `sees` that need gathering flow by frame by frame."""

    def framer(self, decoder: Decoder) -> Framer: ...
    def body_decoder(self) -> Decoder:
        """For an unstreamed answer: `frame(body)` gives all events."""

    def body_framer(self, decoder: Decoder) -> Framer: ...
    def request(self, body: bytes) -> Request:
        """Read a request. Raises `ClientError` with a message for the client where it cannot be read."""

    def mended(self, body: bytes) -> bytes:
        """A request as its provider takes it back, where policies left marks in its history; else the same bytes."""

    def checker(self) -> Checker: ...
    def refusal(self, request: Request, text: str, call: str) -> list[bytes]:
        """A whole, well-formed assistant turn that says `text`: frames, or one body if the request is not streamed."""

    def error_body(
        self, status: int, message: str, *, kind: str = "", code: str = "", call: str = "", param: str = ""
    ) -> bytes:
        """An HTTP error body in the format's dialect; `param` names the field at fault where the dialect has that."""

    def error_frame(self, status: int, message: str, *, kind: str = "", code: str = "", call: str = "") -> bytes:
        """An error inside a stream that has begun, in the format's dialect."""

    def keepalive(self) -> bytes:
        """A frame that means nothing, for a silent stream."""

    def usage_of(self, frames: Iterable[bytes]) -> dict[str, Any] | None:
        """Token counts in a recorded lane, None if it has none."""
