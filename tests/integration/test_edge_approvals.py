"""A gate that asks a person: what waits is known, one decision counts, and a late approval counts for the next time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

from aiohttp import web

from luthien_stream.bus.holds import Hold as Question
from luthien_stream.bus.holds import all_holds, find_hold
from luthien_stream.cli.decide import Decision, decide
from luthien_stream.cli.stop import tell_edges
from luthien_stream.events import log
from luthien_stream.events.answer import ToolCall
from luthien_stream.policy.context import Context
from luthien_stream.policy.gate import ToolGate
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.policy.stages import Stages
from luthien_stream.policy.verdicts import Hold, Verdict
from tests.integration.edge_rig import KEY, Got, Rig, running
from tests.integration.test_edge_stage import PassOn
from tests.wait import wait_until

TOOL = {"name": "sh", "description": "Runs", "input_schema": {"type": "object", "properties": {}}}


class AskFirst(ToolGate):
    """Asks a person about every tool call."""

    timeout_s: float = 60.0
    on_timeout: Literal["deny", "stop", "allow"] = "deny"

    async def check(self, call: ToolCall, ctx: Context) -> Verdict:
        """Hold."""
        return Hold("it runs something", "Nobody allowed that.", self.timeout_s, self.on_timeout)


@asynccontextmanager
async def asked(said: str = 'use sh {"command": "rm x"}', **more: Any) -> AsyncIterator[tuple[Rig, Question]]:
    """A gateway with one call that waits for a person, and what waits."""
    async with running(AskFirst(**more.pop("policy", {})), **more) as rig:
        rig.first = ask(rig, said)  # type: ignore[attr-defined]
        yield rig, await question(rig)


def ask(rig: Rig, said: str = 'use sh {"command": "rm x"}', session: str = "run 7") -> asyncio.Task[Got]:
    """Have the model call a tool."""
    headers = {"x-api-key": KEY, "anthropic-version": "2023-06-01", "x-session-id": session}
    fields = {"tools": [TOOL], "messages": [{"role": "user", "content": said}]}
    return asyncio.create_task(rig.ask("act", headers=headers, fields=fields))


async def question(rig: Rig, but: str = "") -> Question:
    """What waits, once it does."""
    found: list[Question] = []

    async def there() -> bool:
        found[:] = [hold for hold in await all_holds(rig.bus) if hold.call != but and not hold.decision]
        return bool(found)

    await wait_until(there)
    return found[0]


def tool_arguments(got: Got) -> dict[str, Any] | None:
    """What the client is told to run, None for nothing."""
    parts = []
    for frame in got.frames:
        data = json.loads(frame.partition(b"data: ")[2])
        if data.get("delta", {}).get("type") == "input_json_delta":
            parts.append(data["delta"]["partial_json"])
    return json.loads("".join(parts)) if parts else None


async def test_an_approval_lets_the_call_go_and_counts_once() -> None:
    """What a person decides on is the tool call as it is; a second decision is told who decided."""
    async with asked() as (rig, hold):
        assert (hold.session, hold.subject["tool"]) == ("run 7", "sh")
        assert json.loads(hold.subject["arguments"]) == {"command": "rm x"}
        outcome = await decide(rig.bus, hold, Decision("approve", "ann"))
        assert (outcome.came, outcome.hold.by) == ("adopted", "ann")
        got = await rig.first  # type: ignore[attr-defined]
        assert tool_arguments(got) == {"command": "rm x"}
        again = await decide(rig.bus, hold, Decision("reject", "bob"))
        assert (again.came, again.hold.decision, again.hold.by) == ("already", "approve", "ann")


async def test_a_rejection_drops_the_call() -> None:
    """The agent is told what the policy says."""
    async with asked() as (rig, hold):
        assert (await decide(rig.bus, hold, Decision("reject", "ann"))).came == "adopted"
        got = await rig.first  # type: ignore[attr-defined]
        assert tool_arguments(got) is None
        assert b"Nobody allowed that." in got.body


async def test_a_person_may_change_the_arguments() -> None:
    """Only those: the tool stays."""
    async with asked() as (rig, hold):
        await decide(rig.bus, hold, Decision("modify", "ann", {"command": "ls x"}))
        got = await rig.first  # type: ignore[attr-defined]
        assert tool_arguments(got) == {"command": "ls x"}
        assert b'"name":"sh"' in got.body.replace(b" ", b"")


async def test_two_that_decide_at_once_learn_the_same() -> None:
    """Whatever the owner took is what both are told."""
    async with asked() as (rig, hold):
        kinds: tuple[Any, ...] = ("approve", "reject")
        told = await asyncio.gather(*(decide(rig.bus, hold, Decision(kind, kind)) for kind in kinds))
        assert sorted(one.came for one in told) == ["adopted", "already"]
        assert len({(one.hold.decision, one.hold.by) for one in told}) == 1
        got = await rig.first  # type: ignore[attr-defined]
        assert (tool_arguments(got) is not None) == (told[0].hold.decision == "approve")


async def test_a_delivered_approval_does_not_stand() -> None:
    """The next identical tool call is asked about again."""
    async with asked() as (rig, hold):
        await decide(rig.bus, hold, Decision("approve", "ann"))
        await rig.first  # type: ignore[attr-defined]
        second = ask(rig)
        again = await question(rig, but=hold.call)
        assert again.digest == hold.digest
        await decide(rig.bus, again, Decision("reject", "ann"))
        assert tool_arguments(await second) is None


async def test_a_late_approval_counts_once_for_the_same_call_of_the_session() -> None:
    """Neither for another session nor for other arguments nor a second time."""
    async with asked(policy={"timeout_s": 0.3}) as (rig, hold):
        assert tool_arguments(await rig.first) is None  # type: ignore[attr-defined]
        assert (await find_hold(rig.bus, hold.id) or hold).decision == "expired"
        assert (await decide(rig.bus, hold, Decision("reject", "ann"))).came == "late"
        assert (await decide(rig.bus, hold, Decision("approve", "ann"))).came == "stands"
        twice = await decide(rig.bus, hold, Decision("approve", "bob"))
        assert twice.standing is not None
        assert (twice.came, twice.standing.by) == ("stands", "ann")
        assert tool_arguments(await ask(rig, session="run 8")) is None
        assert tool_arguments(await ask(rig, 'use sh {"command": "rm y"}')) is None
        known = len(await all_holds(rig.bus))
        assert tool_arguments(await ask(rig)) == {"command": "rm x"}
        assert len(await all_holds(rig.bus)) == known
        assert tool_arguments(await ask(rig)) is None


async def test_an_approval_whose_client_has_gone_stands_for_the_next_request() -> None:
    """The call is parked, approved, and nobody gets it: the agent's next request passes without a question."""
    async with asked() as (rig, hold):
        rig.first.cancel()  # type: ignore[attr-defined]
        await wait_until(lambda: all(call.gone for call in rig.edge.calls.values()))
        assert (await decide(rig.bus, hold, Decision("approve", "ann"))).came == "adopted"
        await wait_until(lambda: not rig.edge.calls)
        assert tool_arguments(await ask(rig)) == {"command": "rm x"}
        assert len(await all_holds(rig.bus)) == 1


async def test_a_notice_is_sent_for_what_waits() -> None:
    """With what is asked and how to answer, and without anything that is not on record."""
    told: list[Any] = []

    async def take(request: web.Request) -> web.Response:
        told.append(await request.json())
        return web.Response(status=500 if len(told) == 1 else 204)

    app = web.Application()
    app.router.add_post("/hook", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        async with asked(notify=f"http://127.0.0.1:{port}/hook?secret=1") as (rig, hold):
            await wait_until(lambda: len(told) == 2)
            assert told[0] == told[1]
            assert (told[0]["call"], told[0]["tool"], told[0]["session"]) == (hold.call, "sh", "run 7")
            assert told[0]["approve"] == f"luthien-stream approvals approve {hold.call}"
            assert isinstance(rig.edge.calls[hold.call].waits.held_until, int)
            held = await rig.one(hold.call, log.CallHeld)
            assert held.deadline == told[0]["deadline"]
    finally:
        await runner.cleanup()


async def test_a_stop_reaches_a_stage_that_holds_what_an_earlier_one_has_done_with() -> None:
    """Nobody is asked any more about a call that is over."""
    first, second = Pipeline.of(PassOn()).policies, Pipeline.of(AskFirst()).policies
    stages = Stages((Pipeline(first, "first"), Pipeline(second, "second")))
    async with running(stages=stages) as rig:
        asking = ask(rig, 'use sh {"command": "rm x"}')
        waits = await question(rig)
        await wait_until(
            lambda: not [c for name, p in rig.bus.data.partitions.items() if "first" in name for c in p.open]
        )
        assert await tell_edges(rig.bus, log.StopRequested(call=waits.call, by="ann")) == {rig.edge.id: [waits.call]}
        assert tool_arguments(await asking) is None
        await wait_until(lambda: not [call for found in rig.bus.data.partitions.values() for call in found.open])
        said = await decide(rig.bus, waits, Decision("approve", "bob", None, 60.0))
        assert said.came != "adopted"
