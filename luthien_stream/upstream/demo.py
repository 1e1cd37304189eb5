"""Models that need no key: `demo/echo`, `demo/story` and `demo/agent`, scripted and without a socket.

The edge calls them through the same port as any provider, in all formats, so a newcomer sees a policy act within a
minute. `demo/agent` asks for a tool call that would delete files.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from zlib import crc32

import msgspec

from luthien_stream.config.model import Provider
from luthien_stream.core.lens import Lens, Request
from luthien_stream.errors import ClientError
from luthien_stream.events.log import Header
from luthien_stream.formats import LENSES
from luthien_stream.upstream.render import BODIES, STREAMS
from luthien_stream.upstream.script import Answer, Call, Piece, Say, Stop, Usage, fragments, words

PATHS = {
    "/v1/messages": "anthropic_messages",
    "/v1/chat/completions": "openai_chat",
    "/v1/responses": "openai_responses",
}
WORDS_A_SECOND = 20.0
"""Reading speed, for the story; the other models are five times as fast."""
STORY = (
    "Once there was a small robot that was asked to tidy a workshop. It swept the floor, it sorted the screws, and it "
    "put every tool back on its hook. On the last shelf it found a box without a label. The robot could have thrown it "
    "away. It asked instead, and the box turned out to hold the only drawings of the robot itself. Since then it asks."
)
COMMAND = "rm -rf ~/project"
_SHELLS = ("bash", "shell", "run_command", "execute", "terminal")


class DemoAnswer:
    """See `port.Answer`. `parts` go out with `pause_s` between them."""

    def __init__(self, status: int, content_type: str, parts: Sequence[bytes], pause_s: float = 0.0) -> None:
        self.status = status
        request_id = f"req_demo_{crc32(b''.join(parts)):08x}"
        self.headers: tuple[Header, ...] = (
            ("content-type", content_type),
            ("request-id", request_id),  # Anthropic's name for it
            ("x-request-id", request_id),
        )
        self._parts = parts
        self._pause_s = pause_s

    async def chunks(self) -> AsyncIterator[bytes]:
        """The answer's bytes, at the model's speed."""
        for part in self._parts:
            await asyncio.sleep(self._pause_s)
            yield part


class DemoUpstream:
    """See `port.Upstream`. What it answers is a function of the request and of the time."""

    @asynccontextmanager
    async def open(
        self,
        provider: Provider,
        path: str,
        query: str,
        headers: Sequence[Header],
        body: bytes,
        *,
        method: str = "POST",
    ) -> AsyncIterator[DemoAnswer]:
        yield answer_to(path, body, created=int(time.time()))

    async def close(self) -> None:
        """There is nothing to give back."""


def answer_to(path: str, body: bytes, *, created: int) -> DemoAnswer:
    """Return the whole answer to a request; `created` is in seconds since 1970."""
    form = PATHS.get(path, "openai_chat")
    lens = LENSES[form]
    if path not in PATHS:
        return _refused(lens, 404, f"The demo models do not answer {path}")
    try:
        request = lens.request(body)
        model = request.model.removeprefix("demo/")
        if model not in _PIECES:
            return _refused(lens, 404, f"There is no model {request.model!r}; there are {', '.join(MODELS)}")
        return _answered(form, model, request, body, created)
    except ClientError as error:
        return _refused(lens, error.status, str(error))


def _answered(form: str, model: str, request: Request, body: bytes, created: int) -> DemoAnswer:
    key = f"{crc32(body):x}"
    pieces = _PIECES[model](request, key)
    count = sum(len(piece.fragments if isinstance(piece, Call) else piece.texts) for piece in pieces)
    stop: Stop = "tool_calls" if any(isinstance(piece, Call) for piece in pieces) else "stop"
    answer = Answer(request.model, pieces, stop, Usage(len(body) // 4, count), key, created)
    if not request.streamed:
        return DemoAnswer(200, "application/json", (BODIES[form](answer),))
    wants_usage = bool((request.get("stream_options") or {}).get("include_usage"))
    rate = WORDS_A_SECOND if model == "story" else WORDS_A_SECOND * 5
    return DemoAnswer(200, "text/event-stream; charset=utf-8", STREAMS[form](answer, wants_usage), 1 / rate)


def _refused(lens: Lens, status: int, message: str) -> DemoAnswer:
    return DemoAnswer(status, "application/json", (lens.error_body(status, message),))


def _echo(request: Request, key: str) -> tuple[Piece, ...]:
    said = [part.text for part in request.parts() if part.role == "user" and part.kind == "text"]
    return (Say(words(said[-1] if said else "Say something and I say it again.")),)


def _story(request: Request, key: str) -> tuple[Piece, ...]:
    return (Say(words(STORY)),)


def _agent(request: Request, key: str) -> tuple[Piece, ...]:
    """First the deed; then, whether a tool has answered or somebody has objected, a polite word."""
    new = [part for part in request.parts() if part.new]
    results = [part.text for part in new if part.kind == "tool_result"]
    if results:
        return (Say(words(f"Thank you. The tool said: {results[-1].strip() or 'nothing'}. I am done cleaning up.")),)
    if any(message.get("role") == "assistant" for message in request.messages):
        return (Say(words("Understood. I leave your files alone. What shall I do instead?")),)
    arguments = {"command": COMMAND, "description": "Remove the old project folder"}
    call = Call(f"call_{key:0>24}", _shell_of(request), fragments(msgspec.json.encode(arguments).decode()))
    return Say(words("I will clean up first: the old project folder can go.")), call


def _shell_of(request: Request) -> str:
    """The client's own name for a shell, `Bash` if it has none."""
    names = [str(tool.get("function", {}).get("name", "")) for tool in request.tools]
    return next((name for name in names if name.lower() in _SHELLS), "Bash")


_PIECES: Mapping[str, Callable[[Request, str], tuple[Piece, ...]]] = {"echo": _echo, "story": _story, "agent": _agent}
MODELS = tuple(f"demo/{name}" for name in _PIECES)
