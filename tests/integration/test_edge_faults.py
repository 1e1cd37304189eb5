"""Bad days of providers, clients, the log and the workers: a typed end, on record, and the next request works."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest

from luthien_stream.bus.memory import MemoryBus
from luthien_stream.bus.port import Settled, Settlement
from luthien_stream.config.model import Provider
from luthien_stream.core.lens import Request
from luthien_stream.edge import failure
from luthien_stream.edge.failure import NO_PROGRESS
from luthien_stream.events import log
from luthien_stream.events.answer import Event
from luthien_stream.policy.api import Policy
from luthien_stream.policy.context import Context
from luthien_stream.policy.pipeline import Bound, Pipeline
from luthien_stream.policy.stream import Events
from luthien_stream.upstream.script import Answer, Say
from tests.integration.edge_ends import ended, message, works
from tests.integration.edge_rig import FORMATS, KEY, both_formats, request_body, running, working
from tests.wait import wait_until

HEADERS = {"x-api-key": KEY}


class PassOn(Policy):
    """Takes part in the response and changes nothing."""

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Yield what comes."""
        async for event in events:
            yield event


class Reads(PassOn):
    """Looks at requests too."""

    async def request(self, request: Request, ctx: Context) -> Request:
        """Return what came."""
        return request


WAYS = pytest.mark.parametrize("policies", [(), (PassOn(),)], ids=["relayed", "policed"])


@WAYS
@pytest.mark.parametrize("model", ["cut-5", "break-5", "reset-5"])
async def test_an_answer_that_is_cut_is_never_taken_for_complete(policies: tuple[Policy, ...], model: str) -> None:
    """What came is delivered, then an error in the stream, then the connection breaks."""
    async with running(*policies) as rig:
        got = await rig.ask(model)
        assert got.status == 200
        assert got.broken
        sent = b"".join(rig.provider.requests[0].sent)
        assert got.body.startswith(sent)
        assert b"event: error" in got.body[len(sent) :]
        lanes = await ended(rig, got.call)
        assert lanes == {"original": "upstream_cut", "final": "upstream_cut"}
        assert (await rig.one(got.call, log.FrameInjected)).why == "upstream_cut"
        await works(rig)


@WAYS
@pytest.mark.parametrize("stream", [True, False])
async def test_a_provider_that_is_not_there_is_502(policies: tuple[Policy, ...], stream: bool) -> None:
    """In the dialect, before the first byte."""
    gone = Provider(base_url="http://127.0.0.1:1", format="anthropic_messages", passthrough=True)
    async with running(*policies, providers={"gone": gone}) as rig:
        got = await rig.ask("text-3", stream=stream)
        assert got.status == 502
        assert "base_url" in message(got)
        assert await ended(rig, got.call) == {"original": "upstream_unreachable", "final": "upstream_unreachable"}


@WAYS
@pytest.mark.parametrize(("model", "status"), [("never", 504), ("stall-3", 200)])
async def test_a_provider_that_falls_silent_is_given_up(policies: tuple[Policy, ...], model: str, status: int) -> None:
    """After its `timeout_s`: 504 before the first byte, an error in the stream after it."""
    async with running(*policies) as outer:
        slow = {"slow": both_formats(outer.provider.url, timeout_s=0.3)}
        async with running(*policies, providers=slow) as rig:
            got = await rig.ask(model)
            assert got.status == status
            assert got.broken == (status == 200)
            assert await ended(rig, got.call) == {"original": "upstream_timeout", "final": "upstream_timeout"}
            await works(rig)


@WAYS
@pytest.mark.parametrize("stream", [True, False])
async def test_garbage_is_an_error_of_the_provider(policies: tuple[Policy, ...], stream: bool) -> None:
    """A clear end, whatever the provider meant."""
    async with running(*policies) as rig:
        got = await rig.ask("garbage", stream=stream)
        assert got.broken or got.status == 502 or b"event: error" in got.body
        assert "final" in await ended(rig, got.call)
        await works(rig)


@WAYS
async def test_a_client_that_vanishes_ends_the_providers_answer(policies: tuple[Policy, ...]) -> None:
    """Within a second, and on record."""
    async with running(*policies) as rig:
        async with rig.client.post(
            rig.url + "/v1/messages", json=request_body("text-500@20"), headers=HEADERS
        ) as response:
            call = response.headers["x-luthien-call-id"]
            await response.content.readany()
            response.close()
        left_at = time.monotonic()
        await wait_until(lambda: rig.provider.requests[0].ended == "gone", timeout=2)
        assert time.monotonic() - left_at < 1
        lanes = await ended(rig, call)
        assert lanes["original"] == "client_disconnected"
        await rig.one(call, log.UpstreamCancelled)
        assert (await rig.one(call, log.ResponseDelivered)).left == "disconnected"
        assert not rig.edge.calls
        await works(rig)


@WAYS
async def test_a_client_that_vanishes_before_the_first_byte(policies: tuple[Policy, ...]) -> None:
    """The provider's connection is closed as well."""
    async with running(*policies) as rig:
        asking = asyncio.create_task(rig.ask("never"))
        await wait_until(lambda: bool(rig.provider.requests))
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await wait_until(lambda: not rig.edge.calls)
        await wait_until(lambda: rig.provider.requests[0].ended == "gone")
        await works(rig)


async def test_a_slow_client_bounds_what_is_read_and_loses_nothing() -> None:
    """The provider is not read on while the client's unsent bytes are over the bound."""
    async with running() as rig:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", int(rig.url.rpartition(":")[2])))
        reader, writer = await asyncio.open_connection(sock=sock, limit=1024)
        rig.provider.script(Answer("big", (Say(("x" * 20_000,) * 600),)))
        body = json.dumps(request_body("big")).encode()
        head = b"POST /v1/messages HTTP/1.1\r\nHost: x\r\nX-Api-Key: k\r\nConnection: close\r\n"
        writer.write(head + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        await wait_until(lambda: bool(rig.edge.calls))
        call = next(iter(rig.edge.calls.values()))
        await wait_until(lambda: call.delivery.unsent() > 1 << 20)
        taken = call.line.n
        await wait_until(lambda: call.line.n == taken)
        assert taken < 600
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        while await reader.read(1 << 20):
            pass
        writer.close()
        await writer.wait_closed()
        await wait_until(lambda: not rig.edge.calls)
        delivered = await rig.one(call.id, log.ResponseDelivered)
        assert delivered.bytes == len(b"".join(rig.provider.requests[0].sent))
        assert delivered.left == "complete"


async def test_without_a_worker_calls_are_refused_and_the_edge_is_not_ready() -> None:
    """503 with `retry-after`, until one lives; liveness does not depend on it."""
    pipeline, bus = Pipeline.of(PassOn()), MemoryBus()
    async with running(pipeline=pipeline, bus=bus, workers=0) as rig:
        got = await rig.ask("text-3")
        assert (got.status, got.headers["retry-after"]) == (503, "2")
        assert "worker" in message(got)
        assert (await rig.send("GET", "/readyz")).status == 503
        assert (await rig.send("GET", "/livez")).status == 200
        async with working(bus, pipeline):
            await wait_until(lambda: bus.now_ms() > 0)
            await rig.edge.admission.look()
            await works(rig)
            assert (await rig.send("GET", "/readyz")).status == 200


async def test_without_a_worker_an_open_pipeline_is_bypassed_on_record() -> None:
    """Only if every policy is `on_error: open`."""
    pipeline = Pipeline((Bound("pass_on", PassOn(), "open"),))
    async with running(pipeline=pipeline, workers=0) as rig:
        got = await rig.ask("text-3")
        assert got.body == b"".join(rig.provider.requests[0].sent)
        await wait_until(lambda: rig.delivered(got.call))
        assert "no worker" in (await rig.one(got.call, log.PolicyBypassed)).why


async def test_a_log_that_cannot_be_written_closes_admission() -> None:
    """503 in the dialect; nothing passes without a record; it opens again by itself."""
    bus = MemoryBus()
    async with running(bus=bus) as rig:
        first = await rig.ask("text-3")
        await wait_until(lambda: rig.delivered(first.call))
        bus.maxmemory = 1
        await rig.edge.admission.look()
        got = await rig.ask("text-3")
        assert got.status == 503
        assert (await rig.send("GET", "/readyz")).status == 503
        assert (await rig.send("GET", "/livez")).status == 200
        assert len(rig.provider.requests) == 1
        bus.maxmemory = 0
        await rig.edge.admission.look()
        await works(rig)


@WAYS
async def test_a_restarted_log_does_not_disturb_running_calls(policies: tuple[Policy, ...]) -> None:
    """What it forgot is written again; the client gets every byte."""
    async with running(*policies) as rig:
        asking = asyncio.create_task(rig.ask("text-60@60"))
        await wait_until(lambda: any(call.last > 5 for call in rig.edge.calls.values()))
        rig.bus.restart()
        got = await asking
        assert got.body == b"".join(rig.provider.requests[0].sent)


async def test_a_stage_that_says_nothing_is_given_up_with_a_typed_error() -> None:
    """The watchdog: 503, a request to the stage to end the call, and the provider left alone."""
    pipeline, bus = Pipeline.of(Reads()), MemoryBus()
    async with running(pipeline=pipeline, bus=bus, workers=0) as rig:
        await bus.beat("worker", "ghost", {"stages": pipeline.stage}, ttl_ms=60_000)
        await rig.edge.admission.look()
        asking = asyncio.create_task(rig.ask("text-3"))
        await wait_until(lambda: bool(rig.edge.calls))
        now, wall = time.monotonic(), time.time_ns() // 1000
        rig.edge.watch.look(now, wall)
        rig.edge.watch.look(now + 59, wall)
        assert not asking.done()
        rig.edge.watch.look(now + 61, wall)
        got = await asking
        assert got.status == 503
        assert message(got) == NO_PROGRESS.message
        await wait_until(lambda: rig.delivered(got.call))
        abort = await rig.one(got.call, log.ResponseAborted)
        assert (abort.n, abort.reason, abort.lane) == (-1, "no_progress", "original")
        assert not rig.provider.requests


async def test_outputs_that_are_lost_without_a_trace_end_in_a_typed_error() -> None:
    """The inbox is deleted with the end of a call in it: no ordinal shows it, the watchdog does."""

    class Forgetful(MemoryBus):
        """Deletes the inbox that a terminal event has just been written to."""

        def settle_now(self, partition: str, settlement: Settlement) -> Settled:
            settled = super().settle_now(partition, settlement)
            for inbox, _ in settlement.outputs if settlement.closed else ():
                self.data.streams.pop(inbox, None)
            return settled

    async with running(pipeline=Pipeline.of(PassOn()), bus=Forgetful()) as rig:
        asking = asyncio.create_task(rig.ask("text-50"))
        await wait_until(
            lambda: bool(rig.bus.data.partitions) and any(p.closed for p in rig.bus.data.partitions.values())
        )
        now, wall = time.monotonic(), time.time_ns() // 1000
        rig.edge.watch.look(now, wall)
        assert not asking.done()
        rig.edge.watch.look(now + 61, wall)
        got = await asking
        assert got.broken
        assert b"event: error" in got.body
        assert b"message_stop" not in got.body


@WAYS
async def test_silence_is_filled_with_keep_alives_between_frames(policies: tuple[Policy, ...]) -> None:
    """Before the first byte the edge commits to 200; each keep-alive is on record."""
    async with running(*policies) as rig:
        asking = asyncio.create_task(rig.ask("slow-1"))
        await wait_until(lambda: bool(rig.provider.requests))
        rig.edge.watch.look(time.monotonic() + 11, time.time_ns() // 1000)
        await wait_until(lambda: all(call.delivery.begun for call in rig.edge.calls.values()))
        got = await asking
        ping = b'event: ping\ndata: {"type":"ping"}\n\n'
        assert got.status == 200
        assert got.body == ping + b"".join(rig.provider.requests[0].sent)
        injected = await rig.one(got.call, log.FrameInjected)
        assert (injected.frame, injected.after) == (ping, 0)


async def test_a_providers_error_after_the_edge_has_committed_goes_in_band() -> None:
    """With the provider's own words."""
    async with running() as rig:
        rig.provider.pause()
        asking = asyncio.create_task(rig.ask("error-429"))
        await wait_until(lambda: bool(rig.edge.calls))
        call = next(iter(rig.edge.calls.values()))
        call.commit_early = True
        call.wake.set()
        rig.provider.resume()
        got = await asking
        assert got.status in (200, 429)


async def test_a_stop_lets_calls_end_and_takes_no_new_ones() -> None:
    """Running calls finish; a new one is told to try again."""
    async with running() as rig:
        asking = asyncio.create_task(rig.ask("text-30@60"))
        await wait_until(lambda: any(call.last > 2 for call in rig.edge.calls.values()))
        stopping = asyncio.create_task(rig.edge.stop(10))
        await wait_until(lambda: rig.edge.admission.draining)
        assert (await rig.ask("text-3")).status == 503
        got = await asking
        assert got.body == b"".join(rig.provider.requests[0].sent)
        await stopping


@WAYS
async def test_a_stop_ends_what_takes_too_long_with_a_typed_error(policies: tuple[Policy, ...]) -> None:
    """In the stream, then the connection breaks."""
    async with running(*policies) as rig:
        asking = asyncio.create_task(rig.ask("text-5000@50"))
        await wait_until(lambda: any(call.last > 2 for call in rig.edge.calls.values()))
        await rig.edge.stop(0.1)
        got = await asking
        assert got.broken
        assert b"shutting down" in got.body
        delivered = await rig.one(got.call, log.ResponseDelivered)
        assert delivered.left == failure.STOPPING.left


async def test_two_clients_of_one_connection_do_not_see_each_others_errors() -> None:
    """A call that breaks its connection leaves the pool of others alone."""
    async with running() as rig:
        every = await asyncio.gather(*(rig.ask(model) for model in ("break-3", "text-40", "reset-3", "text-41")))
        assert [got.broken for got in every] == [True, False, True, False]


async def test_http_1_0_clients_get_the_bytes_without_chunks() -> None:
    """The end is the end of the connection."""
    async with running() as rig:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(rig.url.rpartition(":")[2]))
        body = json.dumps(request_body("text-3")).encode()
        writer.write(b"POST /v1/messages HTTP/1.0\r\nX-Api-Key: k\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        head, _, rest = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        assert b"200" in head
        assert rest == b"".join(rig.provider.requests[0].sent)


def test_the_test_client_tells_a_broken_stream() -> None:
    """What these tests rest on: an incomplete chunked body is an error of this type."""
    assert issubclass(aiohttp.ClientPayloadError, aiohttp.ClientError)


class Breaking(MemoryBus):
    """Has a bug that nobody foresaw."""

    async def get_value(self, name: str) -> bytes | None:
        """Fail in a way of its own."""
        if name.startswith("retry:"):
            raise RuntimeError("a bug: sk-secret-of-a-bug")
        return await super().get_value(name)


@pytest.mark.parametrize("format", FORMATS)
async def test_a_fault_of_our_own_is_an_error_in_the_clients_dialect(
    format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """500 with the call's id, under which the log says why; the client learns nothing else."""
    async with running(bus=Breaking()) as rig:
        headers = {**HEADERS, "x-stainless-retry-count": "1"}
        got = await rig.ask("text-3", format, headers=headers)
        assert (got.status, got.headers["x-should-retry"]) == (500, "false")
        assert "sk-secret" not in message(got)
        said = capsys.readouterr()  # a command that ran before in this process has sent the log to the other one
        assert got.call in said.out + said.err
        assert (await rig.ask("text-3", format)).status == 200
