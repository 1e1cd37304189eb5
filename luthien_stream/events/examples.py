"""One example of every event, the source of the golden files in `schemas/examples/`: one call, as its record reads."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from luthien_stream.events import log
from luthien_stream.events.pack import type_of

CALL = "01970c5e-6b1a-7cc0-8f00-5a1d2e3f4a5b"
EDGE = "edge:e-7f3a"
STAGE = "stage:main@1a2b3c4d"
_BEGAN = 1_767_225_600_000_000
_FRAME = b'data: {"choices":[{"index":0,"delta":{"content":"Hello"}}]}\n\n'
_SLIP = log.Slip(version="1a2b3c4d5e6f", hops=(log.Hop("main@1a2b3c4d", 5),), final_by=STAGE)
_BODY = b'{"model":"gpt-5-mini","stream":true,"messages":[{"role":"user","content":"Hi"}]}'


def examples() -> dict[str, tuple[str, log.Known]]:
    """Return type name to (producer, event). Times rise by a millisecond; ordinals are those of one call."""
    found = {}
    for number, (src, event) in enumerate((*_request(), *_answer(), *_ends(), *_policy(), *_waits(), *_around())):
        found[type_of(event)] = (src, replace(event, time=_BEGAN + number * 1000))
    return found


def _request() -> Iterator[tuple[str, log.Known]]:
    yield (
        EDGE,
        log.RequestReceived(
            call=CALL,
            n=0,
            trace="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            edge="e-7f3a",
            slip=_SLIP,
            format="openai_chat",
            path="/v1/chat/completions",
            headers=(("content-type", "application/json"), ("authorization", "[cut out]")),
            body=_BODY,
            body_size=len(_BODY),
            model="gpt-5-mini",
            streamed=True,
            session="s-1",
            key="alice",
            client="OpenAI/Python",
            deadline=_BEGAN + 3_600_000_000,
        ),
    )
    yield STAGE, log.RequestReleased(call=CALL, n=0, prev=0, cause=f"{CALL}/{EDGE}/0", model="gpt-5-mini")
    yield STAGE, log.RequestRefused(call=CALL, n=0, prev=0, policy="token_limit", reason="over 4096", shown="Too long.")


def _answer() -> Iterator[tuple[str, log.Known]]:
    headers = (("x-request-id", "req_1"), ("content-type", "text/event-stream"))
    yield EDGE, log.ResponseStarted(call=CALL, n=1, status=200, headers=headers, provider="openai", streamed=True)
    yield EDGE, log.ChunkReceived(call=CALL, n=2, frame=_FRAME)
    yield STAGE, log.ChunkReleased(call=CALL, n=2, prev=2596996162, cause=f"{CALL}/{EDGE}/2", frame=_FRAME, of=2)
    yield "record:e-7f3a", log.FrameInjected(call=CALL, n=0, frame=b": keep-alive\n\n", why="silence", after=3)
    yield "record:e-7f3a", log.ResponseDelivered(call=CALL, n=1, last=4, bytes=312)
    yield STAGE, log.ChunkSeen(call=CALL, upto=3)


def _ends() -> Iterator[tuple[str, log.Known]]:
    usage = {"prompt_tokens": 8, "completion_tokens": 1}
    yield STAGE, log.ResponseCompleted(call=CALL, n=4, prev=1234567890, lane="final", reason="stop", usage=usage)
    yield (
        EDGE,
        log.ResponseFailed(
            call=CALL,
            n=3,
            lane="original",
            error="upstream_cut",
            message="The provider closed the connection",
            status=502,
        ),
    )
    yield EDGE, log.ResponseAborted(call=CALL, n=3, lane="original", reason="client_disconnected", delivered=2)


def _policy() -> Iterator[tuple[str, log.Known]]:
    yield (
        STAGE,
        log.VerdictReached(
            call=CALL,
            n=3,
            prev=987654321,
            policy="block_tools",
            kind="deny",
            version="1a2b3c4d",
            reason="Bash: rm -rf matches",
            shown="The tool call was blocked.",
            score=0.97,
            about="call_1",
        ),
    )
    yield (
        STAGE,
        log.PolicyFailed(call=CALL, n=3, prev=1, policy="mine", error="ZeroDivisionError", message="division by zero"),
    )
    yield EDGE, log.PolicyBypassed(call=CALL, n=3, at=3, why="no worker")
    yield (
        STAGE,
        log.ProtocolViolated(call=CALL, n=3, prev=1, rule="text_after_tool_use", message="index 2", by="mine", at=7),
    )


def _waits() -> Iterator[tuple[str, log.Known]]:
    yield (
        STAGE,
        log.CallHeld(
            call=CALL,
            n=3,
            prev=1,
            key="0/response/0",
            stage="main@1a2b3c4d",
            partition=5,
            deadline=_BEGAN + 600_000_000,
            subject={"tool": "Bash", "command": "rm -rf build"},
        ),
    )
    yield "console:c-1", log.ApprovalDecided(call=CALL, key="0/response/0", decision="approve", by="alice")
    yield (
        STAGE,
        log.SampleRequested(
            call=CALL,
            n=3,
            prev=1,
            key="0/response/1",
            model="gpt-5-mini",
            format="openai_chat",
            body=_BODY,
            body_size=len(_BODY),
            why="judge",
            policy="tool_call_judge",
            stage="main@1a2b3c4d",
            partition=5,
            deadline=_BEGAN + 30_000_000,
        ),
    )
    yield "console:c-1", log.StopRequested(call=CALL, by="alice")
    yield (
        STAGE,
        log.EffectRecorded(
            call=CALL, key="0/response/0", kind="ask", value={"decision": "approve"}, stage="main@1a2b3c4d"
        ),
    )


def _around() -> Iterator[tuple[str, log.Known]]:
    yield EDGE, log.UpstreamCancelled(call=CALL, n=3, why="client_disconnected")
    yield EDGE, log.UpstreamSwitched(call=CALL, n=1, provider="lab", model="llama", why="openai answered 503")
    yield (
        STAGE,
        log.EventDeadLettered(
            call=CALL,
            n=3,
            prev=1,
            stream="ls:{main@1a2b3c4d:5}:in",
            entry="1767225600000-0",
            error="PackError",
            message="no map",
        ),
    )
    yield (
        EDGE,
        log.StageChanged(
            call="",
            n=0,
            stage="main@1a2b3c4d",
            partition=-1,
            why="in_force",
            written=[{"use": "shell_guard"}],
            policies=(("shell_guard", "9f86d081884c7d65"),),
        ),
    )
