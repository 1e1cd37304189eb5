"""What policies ask models through the edge that owns their call: a stage played by hand asks, and is answered."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import pytest

from luthien_stream.bus import keys
from luthien_stream.bus.port import START
from luthien_stream.config.model import Provider
from luthien_stream.core.partition import partition_of
from luthien_stream.edge.line import microseconds
from luthien_stream.edge.samples import AT_ONCE, BESIDE
from luthien_stream.events import log, pack
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.policy.stages import Stages
from luthien_stream.testing.provider import FakeProvider
from tests.integration.edge_rig import KEY, running
from tests.integration.test_edge_stage import PIPELINE, Hand, PassOn
from tests.wait import wait_until

SECRETS = re.compile(rb"sk-\w+-canary-\d+")
GATEWAYS = "sk-gateway-canary-77"


class Watches(PassOn):
    """Asks a judge."""

    needs: ClassVar[frozenset[str]] = frozenset({"judge"})


SHADOW = Pipeline(Pipeline.of(Watches()).policies, "shadow")
JUDGE = {"model": "near/text-3", "stream": False, "messages": [{"role": "user", "content": "is it safe?"}]}


@asynccontextmanager
async def held(model: str = "stall-3", query: str = "", **config: Any) -> AsyncIterator[Hand]:
    """A call whose stage has released its request and said no more.

    `near` is the provider of the client's own credential, `far` is paid by the gateway, `closed` by nobody.
    """
    async with FakeProvider() as fake:
        chat = f"{fake.url}/v1"
        providers = {
            "near": Provider(base_url=fake.url, format="anthropic_messages", passthrough=True),
            "far": Provider(base_url=chat, format="openai_chat", passthrough=True, api_key=GATEWAYS),
            "closed": Provider(base_url=chat, format="openai_chat", passthrough=True),
            "trusted": Provider(base_url=fake.url, format="anthropic_messages", passthrough=True, api_key=GATEWAYS),
        }
        config.setdefault("stages", Stages((PIPELINE,)))
        async with running(workers=0, providers=providers, **config) as rig:
            rig.provider = fake
            await rig.bus.beat("worker", "hand", {"stages": f"{PIPELINE.stage},{SHADOW.stage}"}, ttl_ms=60_000)
            await rig.edge.admission.look()
            headers = {"x-api-key": KEY, "anthropic-version": "2023-06-01", "x-session-id": "run 7"}
            asking = asyncio.create_task(rig.ask(model, headers=headers, query=query))
            await wait_until(lambda: bool(rig.edge.calls))
            hand = Hand(rig, asking)
            await hand.release()
            yield hand


def wanted(hand: Hand, key: str = "0/response/0", **fields: Any) -> log.SampleRequested:
    """What a policy asks for."""
    event = log.SampleRequested(call=hand.call, key=key, model="text-3", stage=PIPELINE.stage)
    event.partition, event.deadline = partition_of(hand.call), microseconds() + 30_000_000
    for name, value in fields.items():
        setattr(event, name, value)
    return event


def judged(hand: Hand, body: dict[str, Any] | None = None, **fields: Any) -> log.SampleRequested:
    """What a judge is asked."""
    body = body or JUDGE
    if "body_ref" not in fields:
        fields["body"] = json.dumps(body).encode()
    return wanted(hand, why="judge", format="openai_chat", model=body["model"], **fields)


async def told(hand: Hand, key: str = "0/response/0", stage: str = PIPELINE.stage) -> list[log.AnyEvent]:
    """What the stage was told of a draw, once that has ended."""
    stream = keys.partition_stream(keys.partition(stage, partition_of(hand.call)))
    found: list[log.AnyEvent] = []

    async def over() -> bool:
        found.clear()
        for entry in await hand.rig.bus.range(stream, START):
            read = pack.decode(entry.raw)
            found.extend(event for event in read.events if read.src == f"sample:{key}")
        return bool(found) and isinstance(found[-1], log.ResponseCompleted | log.ResponseFailed)

    await wait_until(over)
    assert [event.n for event in found] == list(range(len(found)))
    assert {event.call for event in found} == {hand.call}
    return found


async def child(hand: Hand) -> log.RequestReceived:
    """The draw's own request on record, once it is closed."""
    found: list[log.RequestReceived] = []

    async def closed() -> bool:
        events = [event for _, _, event in await hand.rig.events()]
        found[:] = [e for e in events if isinstance(e, log.RequestReceived) and e.cause == hand.call]
        return bool(found) and any(isinstance(e, log.ResponseDelivered) and e.call == found[0].call for e in events)

    await wait_until(closed)
    return found[0]


async def test_a_sample_is_drawn_with_the_released_request() -> None:
    """Its frames come as inputs of the call from the sample's own source, and it is a call of its own on record."""
    async with held() as hand:
        await hand.put(wanted(hand, format="anthropic_messages"))
        started, *chunks, end = await told(hand)
        assert isinstance(started, log.ResponseStarted)
        assert (started.status, started.streamed) == (200, True)
        assert isinstance(end, log.ResponseCompleted)
        assert all(isinstance(chunk, log.ChunkReceived) for chunk in chunks)
        request = await child(hand)
        assert (request.session, request.model, request.slip, request.format) == (
            "run 7",
            "text-3",
            log.Slip(),
            "anthropic_messages",
        )
        recorded = [e.frame for _, src, e in await hand.rig.events(request.call) if isinstance(e, log.ChunkReceived)]
        assert recorded == [chunk.frame for chunk in chunks if isinstance(chunk, log.ChunkReceived)]
        sent = hand.rig.provider.requests[-1]
        assert (sent.headers["x-api-key"], sent.json["model"]) == (KEY, "text-3")
        assert KEY.encode() not in await hand.rig.dump()


@pytest.mark.parametrize(("model", "key"), [("near/text-3", KEY), ("far/text-3", GATEWAYS)])
async def test_a_judge_is_asked_in_chat_form_whatever_its_provider_speaks(model: str, key: str) -> None:
    """The call's own credential goes to the call's own provider alone; elsewhere the gateway's key pays."""
    async with held() as hand:
        await hand.put(judged(hand, {**JUDGE, "model": model}))
        _, body, end = await told(hand)
        assert isinstance(body, log.ChunkReceived)
        assert (body.kind, isinstance(end, log.ResponseCompleted)) == ("body", True)
        assert json.loads(body.frame)["choices"][0]["message"]["content"]
        sent = hand.rig.provider.requests[-1]
        assert key in (sent.headers.get("x-api-key"), sent.headers.get("authorization", "").removeprefix("Bearer "))
        assert not any(other in str(dict(sent.headers)) for other in {KEY, GATEWAYS} - {key})
        assert (await child(hand)).format == "openai_chat"
        assert not {KEY.encode(), GATEWAYS.encode()} & set(SECRETS.findall(await hand.rig.dump()))


@pytest.mark.parametrize("model", ["near/text-3", "trusted/text-3"])
async def test_a_credential_in_the_query_goes_to_the_call_s_own_provider_alone(model: str) -> None:
    """The rest of the query goes with the request wherever it goes."""
    async with held(query="?beta=true&api_key=sk-query-canary-5") as hand:
        await hand.put(wanted(hand, format="anthropic_messages", model=model))
        await told(hand)
        sent = hand.rig.provider.requests[-1]
        assert "beta=true" in sent.query
        assert ("sk-query-canary-5" in sent.query) is model.startswith("near")
        assert b"sk-query-canary-5" not in await hand.rig.dump()


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("closed/text-3", "no_credential"),
        ("near/status-429", "provider_error"),
        ("near/cut-3", "cut"),
        ("demo/none", "model_unknown"),
    ],
)
async def test_what_goes_wrong_is_told_to_the_stage(model: str, error: str) -> None:
    """As a terminal event with the kind of the failure, and the call goes on."""
    async with held() as hand:
        await hand.put(judged(hand, {**JUDGE, "model": model, "stream": "cut" in model}))
        end = (await told(hand))[-1]
        assert isinstance(end, log.ResponseFailed)
        assert (end.error, end.lane) == (error, "original")
        assert hand.call in hand.rig.edge.calls


async def test_a_draw_that_takes_too_long_is_ended() -> None:
    """At its deadline the provider is left, and the stage told; the call itself is no stall meanwhile."""
    async with held() as hand:
        await hand.put(wanted(hand, model="stall-3", deadline=microseconds() + 300_000))
        await wait_until(lambda: bool(hand.rig.edge.beside.samples.draws))
        assert hand.rig.edge.calls[hand.call].waits.until > 0
        end = (await told(hand))[-1]
        assert isinstance(end, log.ResponseFailed)
        assert end.error == "timeout"
        await child(hand)
        await wait_until(lambda: hand.rig.provider.requests[-1].ended == "gone")


async def test_a_draw_ends_with_its_call() -> None:
    """Nobody pays for what nobody waits for."""
    async with held() as hand:
        await hand.put(wanted(hand, model="stall-3"))
        await wait_until(lambda: len(hand.rig.provider.requests) == 2 and bool(hand.rig.edge.beside.samples.draws))
        await hand.put(log.ResponseFailed(call="", lane="final", error="policy_failed"))
        await hand.asking
        await wait_until(lambda: not hand.rig.edge.beside.samples.draws)
        await wait_until(lambda: hand.rig.provider.requests[-1].ended == "gone")


async def test_several_draws_of_a_call_come_each_from_its_own_source() -> None:
    """Asked twice, the same key is drawn once."""
    async with held() as hand:
        for key in ("0/response/0", "0/response/1", "0/response/0"):
            await hand.put(wanted(hand, key, format="anthropic_messages"))
        first, second = await told(hand, "0/response/0"), await told(hand, "0/response/1")
        assert len(first) == len(second)
        assert len(hand.rig.provider.requests) == 3


async def test_a_shadow_stage_may_draw_for_a_call_that_has_ended() -> None:
    """The edge keeps what that takes for a while, where there is such a stage; said twice, it is drawn once."""
    async with held(stages=Stages((PIPELINE,), SHADOW)) as hand:
        await hand.put(log.ResponseFailed(call="", lane="final", error="policy_failed"))
        await hand.asking
        await wait_until(lambda: not hand.rig.edge.calls)
        event = judged(hand, stage=SHADOW.stage)
        raw = pack.encode(f"stage:{SHADOW.stage}", [event])
        for _ in range(2):
            await hand.rig.bus.append(hand.rig.edge.inbox.stream, raw)
        assert isinstance((await told(hand, stage=SHADOW.stage))[-1], log.ResponseCompleted)
        assert len(hand.rig.provider.requests) == 2


async def test_no_call_waits_for_a_slot_that_a_shadow_stage_has() -> None:
    """However many slow judges that one asks."""
    async with held(stages=Stages((PIPELINE,), SHADOW)) as hand:
        slow = [judged(hand, {**JUDGE, "model": "near/stall-3"}, key=f"0/response/{n}") for n in range(AT_ONCE + 1)]
        for event in slow:
            event.stage = SHADOW.stage
        await hand.rig.bus.append(hand.rig.edge.inbox.stream, pack.encode(f"stage:{SHADOW.stage}", slow))
        await wait_until(lambda: len(hand.rig.edge.beside.samples.draws) >= BESIDE)
        await hand.put(judged(hand))
        assert isinstance((await told(hand))[-1], log.ResponseCompleted)
        assert len(hand.rig.edge.beside.samples.draws) == BESIDE


async def test_a_large_prompt_is_fetched_and_stored_by_its_digest() -> None:
    """Over 32 KiB the log has it once."""
    async with held() as hand:
        long = json.dumps({**JUDGE, "messages": [{"role": "user", "content": "x" * 40_000}]}).encode()
        await hand.rig.bus.put_body("digest", long, ttl_ms=60_000)
        await hand.put(judged(hand, body_ref="digest", body_size=len(long)))
        assert isinstance((await told(hand))[-1], log.ResponseCompleted)
        assert b"x" * 40_000 in hand.rig.provider.requests[-1].body
        request = await child(hand)
        assert (request.body, request.body_size) == (b"", len(long))
        assert await hand.rig.bus.get_body(request.body_ref) == long
