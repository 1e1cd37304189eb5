"""What is kept of a session: read once when a call opens, added to when it ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, ClassVar

import pytest

from luthien_stream.core.program import Folded, Want
from luthien_stream.core.stagecall import StageCall
from luthien_stream.events.log import AnyEvent, ChunkReleased, EffectRecorded, RequestReceived, ResponseFailed
from luthien_stream.formats import LENSES
from luthien_stream.policy import CallFacts, Context, End, Event, Events, Fold, Policy, Request, Text, run
from luthien_stream.policy.pipeline import Bound, Pipeline
from luthien_stream.testing.laws import CORPUS
from luthien_stream.testing.rig import call_log, drive, frames, program, request_body
from luthien_stream.upstream.render import STREAMS


class Counts(Policy):
    """Counts texts over a session, and says what it had counted."""

    fold: ClassVar[Fold | None] = Fold(0, lambda state, delta: state + delta)

    async def request(self, request: Request, ctx: Context) -> Request:
        ctx.session.add(100)
        return request

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        yield Text(f"{ctx.session.id}:{ctx.session.state} ")
        async for event in events:
            if isinstance(event, Text):
                ctx.session.add(1)
            yield event


KEPT = {"counts": {"base": 2, "state": 7, "deltas": [10, 20]}}
CALL = CallFacts("c", session="s")
REQUEST = LENSES["openai_chat"].request(request_body(tools=[{"type": "function", "function": {"name": "f"}}]))


def ran(kept: Any, policy: Policy | None = None) -> Any:
    wanted: list[Want] = []

    def read(want: Want) -> Any:
        wanted.append(want)
        return kept

    return run(policy or Counts(), [Text("a")], request=REQUEST, call=CALL, effects=read), wanted


class Hoards(Policy):
    """Adds what it is told to."""

    fold: ClassVar[Fold | None] = Fold(0, lambda state, delta: len(delta))
    sizes: tuple[int, ...]

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        for size in self.sizes:
            ctx.session.add("x" * size)
        async for event in events:
            yield event


@pytest.mark.parametrize(("sizes", "kept"), [((200_000, 60_000), True), ((200_000, 70_000), False)])
def test_what_a_call_adds_is_bounded(sizes: tuple[int, ...], kept: bool) -> None:
    """A policy that adds more fails, and that call ends closed."""
    transcript, _ = ran({"hoards": {"base": 0, "state": None, "deltas": []}}, Hoards(sizes=sizes))
    assert transcript.failed is not kept
    if not kept:
        assert "adds more than 256 KiB" in transcript.failures[0].message


def test_a_call_reads_its_session_and_adds_to_it() -> None:
    """State and deltas are folded here; what was read may stand for them from now on."""
    transcript, (want,) = ran(KEPT)
    assert (want.key, want.kind, want.args) == ("session", "session", {"session": "s", "names": ["counts"]})
    assert transcript.text == "s:37 a"
    assert transcript.folds == [Folded("s", "counts", 100, 4, 37), Folded("s", "counts", 1, 4, 37)]


@pytest.mark.parametrize("kept", [{}, {"counts": {"base": 0, "state": None, "deltas": []}}])
def test_a_session_begins_with_its_start(kept: Any) -> None:
    """Whether the store knows the name or not."""
    transcript, _ = ran(kept)
    assert transcript.text == "s:0 a"
    assert transcript.folds[0] == Folded("s", "counts", 100, 0, 0)


def test_a_session_that_cannot_be_read_fails_who_reads_it() -> None:
    """By the rule of the policy; what is added is still written, and nothing is put in the place of what is there."""
    transcript, _ = ran({"error": "timeout", "message": "slow"})
    assert [failure.error for failure in transcript.failures] == ["EffectFailed"]
    assert transcript.folds == [Folded("s", "counts", 100, 0, None)]


def test_a_step_that_fails_loses_nothing() -> None:
    """The state is left as it was."""

    class Broken(Counts):
        fold = Fold(0, lambda state, delta: state / 0)

    transcript, _ = ran({"broken": KEPT["counts"]}, Broken())
    assert [failure.error for failure in transcript.failures] == ["ZeroDivisionError"]
    assert transcript.folds == [Folded("s", "broken", 100, 0, None)]


def test_state_is_the_policy_s_own_copy() -> None:
    """Changing it, or a delta that was added, changes nothing."""

    class Lists(Policy):
        fold = Fold([], lambda state, delta: [*state, delta])

        async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
            delta = {"a": 1}
            ctx.session.add(delta)
            delta["a"] = 2
            ctx.session.state.append("mine")
            yield Text(repr(ctx.session.state))

    transcript, _ = ran({"lists": {"base": 0, "state": None, "deltas": ["x"]}}, Lists())
    assert transcript.text == "['x']"
    assert transcript.folds == [Folded("s", "lists", {"a": 1}, 1, ["x"])]


def test_calls_without_a_session_or_a_fold_want_nothing() -> None:
    """And who uses what it has not declared is told."""

    class Forgets(Counts):
        fold: ClassVar[Fold | None] = None

    assert run(Counts(), [Text("a")], request=REQUEST).text == ":0 a"
    assert not run(Counts(), request=REQUEST).folds
    (failure,) = run(Forgets(), [Text("a")], request=REQUEST, call=CALL).failures
    assert "declare a `fold`" in failure.message


def _log(**fields: Any) -> list[AnyEvent]:
    log = call_log("openai_chat", STREAMS["openai_chat"](CORPUS[1], True), request=request_body(**fields))
    assert isinstance(log[0], RequestReceived)
    log[0].session = "s"
    return log


def test_a_program_waits_for_its_session_before_anything_else() -> None:
    """However late it comes, the lane is the same; a record of another session ends the call."""
    pipeline = Pipeline.of(Counts())
    made = program(pipeline)
    assert drive(made, _log()) == []
    (want,) = made.wants()
    made.decide(want.key, KEPT)
    late = [event.frame for event in made.advance() if isinstance(event, ChunkReleased)]
    assert made.over
    assert [folded.delta for folded in made.folds()] == [100, 1]
    at_once = program(pipeline)
    assert frames(drive(at_once, _log(), lambda want: KEPT)) == late
    call = StageCall("c1", program(pipeline))
    record = EffectRecorded(call="c1", key="session", kind="session", value=KEPT, of="0" * 16)
    for event in [record, *_log()]:
        call.feed("edge:e1", event, 1)
    (failed,) = call.outputs
    assert isinstance(failed, ResponseFailed)
    assert failed.error == "nondeterminism"


def test_a_preflight_adds_nothing() -> None:
    """A probe is no turn of the session."""
    made = program(Pipeline.of(Counts()))
    drive(made, _log(max_tokens=1), lambda want: KEPT)
    assert made.over
    assert made.folds() == ()


class Keeps(Policy):
    """Uses what it keeps beyond sessions."""

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        await ctx.kv.set("a", {"error": "not one"}, ttl_s=60)
        said = [await ctx.kv.get("a"), await ctx.kv.get("b"), await ctx.kv.add("n", 2), await ctx.kv.get("n")]
        yield Text(repr(said))


def test_values_are_kept_by_policy_and_name() -> None:
    """What an author keeps is never taken for a failure."""
    store: dict[str, Any] = {}
    asked: list[Any] = []

    def keep(want: Want) -> Any:
        assert want.kind == "kv"
        asked.append(want.args)
        name = want.args["name"]
        match want.args["op"]:
            case "set":
                store[name] = want.args["value"]
                return None
            case "add":
                store[name] = store.get(name, 0) + want.args["amount"]
                return store[name]
        return store.get(name)

    transcript = run(Pipeline((Bound("mine", Keeps()),)), [End("stop")], effects=keep)
    assert transcript.text == "[{'error': 'not one'}, None, 2, 2]"
    assert list(store) == ["mine/a", "mine/n"]
    assert (asked[0]["ttl_s"], asked[3]["ttl_s"]) == (60, None)


@pytest.mark.parametrize("value", [{"error": "failed", "message": "x"}, None, True, "3"])
def test_a_sum_that_is_none_fails(value: Any) -> None:
    """A store that fails is a failure of the policy that asks."""

    class Adds(Policy):
        async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
            yield Text(str(await ctx.kv.add("n")))

    assert run(Adds(), effects=lambda want: value).failed
