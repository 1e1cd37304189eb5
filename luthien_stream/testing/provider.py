"""A provider that needs no key and says what it is told to: the other end of every test and measurement.

`scenarios` decides the bytes; here they are sent, with a provider's headers, its errors and its bad days. As a process:
`python -m luthien_stream.testing.provider --port 9000`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Self

from aiohttp import web

from luthien_stream.testing import breaks, dialect, scenarios
from luthien_stream.testing.embeddings import embedded
from luthien_stream.testing.recorded import Recorded
from luthien_stream.testing.rules import refused
from luthien_stream.testing.scenarios import STAMP, Scenario
from luthien_stream.testing.seen import Seen
from luthien_stream.testing.stored import Stored
from luthien_stream.upstream.render import BODIES, STREAMS
from luthien_stream.upstream.script import Answer

SPEECH = b"ID3\x04\x00\xff\xfb\x90\x00" + bytes(range(256))
"""What `POST /v1/audio/speech` answers: bytes that are no text."""


class FakeProvider:
    """Speaks `POST /v1/messages`, `/v1/chat/completions` and `/v1/responses` (with `GET` and `DELETE` of stored ones),
    `GET /v1/models`, `POST /v1/messages/count_tokens` and `/v1/embeddings`.

    What is answered is chosen by the model name (a prefix up to `/` is ignored), streamed or not as the request asks:

    - `text-50`: 50 pieces of text; `text-50@20`: the same, 20 a second; `echo`: the last user text, word by word
    - `long-10`: one piece of 10,000 characters; `unicode`: text with raw U+2028, U+0085 and wide characters
    - `thinking-10`: signed thinking, then 10 pieces of text; `length-10`, `refusal-3`: other stop reasons
    - `tools`: text and a call of the request's first tool; `parallel-tools-3`: three; after a tool result only text
    - `error-429`: an HTTP error of that status in the format's dialect; `error-echo`: 401 that repeats the credential
    - `error-frame-5`: an error frame after 5 frames
    - `cut-5`: a clean end after 5 frames, without the end of the answer; `break-5`: the connection is closed there;
      `reset-5`: it is reset; `stall-5`: silence from there on
    - `act`: the call that the last user text asks for as `use TOOL {arguments}`; after its result only text
    - `flaky-529`: that error to the first request of each credential, `text-4` to the next one, and so on in turn;
      `flaky-break-3`: likewise with a connection that is closed after 3 frames
    - `silent-12`: four pieces of text, with 12 seconds of silence in the middle
    - `garbage`: status 200 and no such format; `never`: no answer at all; `slow-2`: `text-10` after 2 seconds

    Styles: `+crlf`, `+spaced`, `+odd` (comments, unknown fields), `+bytes` (pieces of 7 bytes), `+timed`.
    `script(...)` puts other answers before that: model names, `Answer`s, or bytes. With `key` any other credential gets
    401. With `rules` requests are refused as strictly as by the vendors, by what was answered before.
    """

    def __init__(self, *, port: int = 0, key: str = "", keep: int = 10_000, rules: bool = False) -> None:
        self.requests: deque[Seen] = deque(maxlen=keep)
        """What arrived, oldest first; `keep` bounds it."""
        self._key = key
        self._rules = rules
        self._port = port
        self._script: deque[str | Answer | Recorded] = deque()
        self._failed: set[tuple[str, str, str]] = set()
        self._stored = Stored(min(keep, 1000))
        self._going = asyncio.Event()
        self._going.set()
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen on 127.0.0.1; the port stays the same over `stop` and `start`."""
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_post("/v1/messages", self._messages)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/v1/responses", self._responses)
        app.router.add_get("/v1/responses/{id}", self._kept)
        app.router.add_delete("/v1/responses/{id}", self._kept)
        app.router.add_post("/v1/embeddings", self._embeddings)
        app.router.add_post("/v1/messages/count_tokens", self._count_tokens)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/audio/speech", self._speech)
        app.router.add_route("*", "/v1/{path:.*}", self._unknown)
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port, backlog=1024)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening and break what is open."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def url(self) -> str:
        """The base URL without `/v1`."""
        return f"http://127.0.0.1:{self._port}"

    def script(self, *answers: str | Answer | Recorded) -> None:
        """Answer the next requests with these, one each, whatever model they name."""
        self._script.extend(answers)

    def pause(self) -> None:
        """Send nothing more until `resume`; connections stay open."""
        self._going.clear()

    def resume(self) -> None:
        """Go on after `pause`."""
        self._going.set()

    async def _messages(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, "anthropic_messages")

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, "openai_chat")

    async def _responses(self, request: web.Request) -> web.StreamResponse:
        return await self._answer(request, dialect.RESPONSES)

    async def _kept(self, request: web.Request) -> web.StreamResponse:
        await self._record(request)
        return await (self._stored.show(request) if request.method == "GET" else self._stored.delete(request))

    async def _embeddings(self, request: web.Request) -> web.StreamResponse:
        seen = await self._record(request)
        status, message, body = dialect.check("embeddings", seen.headers, seen.body, self._key)
        if status:
            return self._error(seen, "openai_chat", status, message)
        return web.json_response(embedded(body), headers=dialect.headers("openai_chat"))

    async def _models(self, request: web.Request) -> web.StreamResponse:
        await self._record(request)
        return web.json_response(dialect.models(list(scenarios.SCENARIOS), "anthropic-version" in request.headers))

    async def _count_tokens(self, request: web.Request) -> web.StreamResponse:
        seen = await self._record(request)
        counted = {"input_tokens": len(seen.body) // 4}
        return web.json_response(counted, headers=dialect.headers(dialect.ANTHROPIC))

    async def _speech(self, request: web.Request) -> web.StreamResponse:
        await self._record(request)
        return web.Response(body=SPEECH, content_type="audio/mpeg", headers=dialect.headers("openai_chat"))

    async def _unknown(self, request: web.Request) -> web.StreamResponse:
        form = dialect.ANTHROPIC if "anthropic-version" in request.headers else "openai_chat"
        return self._error(await self._record(request), form, 404, f"No such path: {request.path}")

    async def _record(self, request: web.Request) -> Seen:
        body = await request.read()
        seen = Seen(request.method, request.path, request.query_string, request.headers, body)
        self.requests.append(seen)
        return seen

    async def _answer(self, request: web.Request, form: str) -> web.StreamResponse:
        seen = await self._record(request)
        try:
            await self._going.wait()
            return await self._choose(request, seen, form)
        except asyncio.CancelledError:
            seen.ended = seen.ended or "gone"
            raise
        except ConnectionResetError:
            seen.ended = seen.ended or "gone"
            return web.Response()  # for nobody: what is raised here would be logged as an error of the server

    async def _choose(self, request: web.Request, seen: Seen, form: str) -> web.StreamResponse:
        status, message, body = dialect.check(form, seen.headers, seen.body, self._key)
        if status:
            return self._error(seen, form, status, message)
        if form == dialect.RESPONSES:
            status, raw = self._stored.refusal(body)
            if status:
                return self._refused(seen, form, status, raw)
        found = refused(form, body, [one.sent for one in self.requests]) if self._rules else None
        if found is not None:
            return self._refused(seen, form, 400, dialect.error_body(form, 400, str(found), found.param, found.code))
        streamed = bool(body.get("stream"))
        chosen = self._script.popleft() if self._script else body["model"]
        if isinstance(chosen, Answer):
            chosen = Recorded(tuple(STREAMS[form](chosen, True)), BODIES[form](chosen))
        if isinstance(chosen, Recorded):
            self._keep(form, body, chosen.body)
            parts = chosen.stream if streamed else (chosen.body,)
            return await self._send(request, seen, form, Scenario("text", 0), parts, streamed)
        try:
            scenario = scenarios.parse(chosen)
        except ValueError as error:
            return self._error(seen, form, 404, str(error))
        if scenario.kind.startswith("flaky") and self._fails_now(form, chosen, seen):
            scenario = Scenario("error" if scenario.kind == "flaky" else "break", scenario.count)
        if scenario.kind == "error":
            return self._error(seen, form, scenario.count, "This error is what the model name asks for")
        if scenario.kind == "error-echo":
            return self._error(seen, form, 401, f"Incorrect API key provided: {dialect.credential(seen.headers)}")
        wish = scenarios.wish_of(body)
        self._keep(form, body, scenarios.body(form, chosen, wish))
        parts = scenarios.stream(form, chosen, wish) if streamed else (scenarios.body(form, chosen, wish),)
        return await self._send(request, seen, form, scenario, parts, streamed)

    def _fails_now(self, form: str, model: str, seen: Seen) -> bool:
        """Every other time."""
        turn = (form, model, dialect.credential(seen.headers))
        fails = turn not in self._failed
        (self._failed.add if fails else self._failed.discard)(turn)
        return fails

    def _keep(self, form: str, request: dict[str, Any], body: bytes) -> None:
        if form == dialect.RESPONSES:
            self._stored.put(request, body)

    def _error(self, seen: Seen, form: str, status: int, message: str) -> web.Response:
        return self._refused(seen, form, status, dialect.error_body(form, status, message))

    def _refused(self, seen: Seen, form: str, status: int, raw: bytes) -> web.Response:
        seen.sent.append(raw)
        seen.ended = "complete"
        headers = {**dialect.headers(form), **({"retry-after": "1"} if status in (429, 529) else {})}
        return web.Response(status=status, body=raw, content_type="application/json", headers=headers)

    async def _send(
        self, request: web.Request, seen: Seen, form: str, scenario: Scenario, parts: Sequence[bytes], streamed: bool
    ) -> web.StreamResponse:
        if scenario.kind in ("never", "slow"):
            await asyncio.sleep(86_400 if scenario.kind == "never" else scenario.count)
        if scenario.kind == "garbage":
            parts = (b"<html>\x00\xff\xfe this is no answer",)
        ending = (breaks.STREAMED if streamed else breaks.UNSTREAMED).get(scenario.kind)
        response = web.StreamResponse(headers=dialect.headers(form))
        if streamed:
            response.headers["cache-control"] = "no-cache"
            response.headers["content-type"] = "text/event-stream; charset=utf-8"
            parts = parts[: scenario.count] if ending else parts
        else:
            response.content_type, response.content_length = "application/json", len(parts[0])
            parts = (parts[0][: len(parts[0]) // 2],) if ending else parts
        await response.prepare(request)
        await self._write_all(response, seen, scenario, parts)
        seen.ended = "complete" if ending is None else await ending(request, response, form)
        return response

    async def _write_all(
        self, response: web.StreamResponse, seen: Seen, scenario: Scenario, parts: Sequence[bytes]
    ) -> None:
        timed = "timed" in scenario.styles
        send = self._write_in_pieces if "bytes" in scenario.styles else self._write
        begun, step = asyncio.get_running_loop().time(), 1 / scenario.rate if scenario.rate else 0.0
        for number, part in enumerate(parts):
            await _until(begun + number * step)
            if scenario.kind == "silent" and number == len(parts) // 2:
                await asyncio.sleep(scenario.count)
            await send(response, seen, part.replace(STAMP, b"T%019d" % time.monotonic_ns(), 1) if timed else part)

    async def _write(self, response: web.StreamResponse, seen: Seen, data: bytes) -> None:
        if not self._going.is_set():
            await self._going.wait()
        await response.write(data)
        seen.sent.append(data)

    async def _write_in_pieces(self, response: web.StreamResponse, seen: Seen, data: bytes) -> None:
        for at in range(0, len(data), 7):
            await self._write(response, seen, data[at : at + 7])
            await asyncio.sleep(0)


async def _until(when: float) -> None:
    """Sleep until the loop's clock reads `when`; in the past, let the other streams have a turn."""
    await asyncio.sleep(max(0.0, when - asyncio.get_running_loop().time()))


async def _serve(port: int) -> None:
    async with FakeProvider(port=port, keep=100) as provider:
        print(provider.url, flush=True)  # noqa: T201 (the caller reads it)
        await asyncio.Event().wait()


def main() -> None:
    """Run the provider as a process until it is ended; its first line is its URL."""
    parser = argparse.ArgumentParser(description="A fake provider for tests and measurements.")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    import uvloop

    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(_serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
