"""`tail`, `calls`, `show` and `dead-letter` against real servers, as a person runs them."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from luthien_stream.activity.store import Store
from luthien_stream.bus import connect
from luthien_stream.cli.main import main
from luthien_stream.embedded.postgres import EmbeddedPostgres
from luthien_stream.embedded.valkey import EmbeddedValkey
from luthien_stream.events.log import (
    AnyEvent,
    ChunkReceived,
    ChunkReleased,
    PolicyFailed,
    RequestReceived,
    ResponseCompleted,
    ResponseStarted,
    Slip,
)
from luthien_stream.events.pack import encode
from luthien_stream.formats import LENSES
from tests.integration.activity_rig import PARTITION, all_recorded, consuming, database, publish, register
from tests.recorded import EDGE, STAGE, START, MadeCall, call_id, made_call, relayed_call

SPOKEN = call_id(0x5AFE)
CALLS = [made_call(1), made_call(2, session="s2", model="demo/story"), relayed_call(0x31)]
ASKED = json.dumps(
    {"model": "claude-x", "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": "?"}]}
).encode()

Run = Callable[..., str]


class Gateway(Struct):
    """Two servers, and the configuration that names them."""

    config: Path
    postgres: EmbeddedPostgres
    valkey: EmbeddedValkey
    go: Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A log and a record with a few calls and one piece of poison."""
    folder: Path = tmp_path_factory.mktemp("gateway")
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        postgres = runner.run(stack.enter_async_context(database(folder / "postgres")))
        valkey = EmbeddedValkey(folder / "valkey")
        runner.run(valkey.start())
        config = folder / "luthien.yaml"
        config.write_text(f"redis: {json.dumps(valkey.url)}\ndatabase: {json.dumps(postgres.dsn)}\n")
        runner.run(fill(valkey.url, postgres.dsn))
        yield Gateway(config, postgres, valkey, runner.run)
        runner.run(stack.aclose())
        runner.run(valkey.stop())


async def fill(url: str, dsn: str) -> None:
    """Publish and record."""
    bus, store = connect(url), Store(dsn)
    await register(bus)
    poison = encode(EDGE, [ChunkReceived(call="poison", n=2**63 + 1, frame=b"x")])
    async with consuming(bus, store):
        await publish(bus, [*CALLS, spoken_call()])
        await bus.append(PARTITION, poison)
        await all_recorded(bus)
    await store.close()
    await bus.close()


def spoken_call() -> MadeCall:
    """A call in which a policy changed what the model said, and another one failed."""
    request = RequestReceived(
        call=SPOKEN, n=0, time=START, edge="e1", slip=Slip(final_by=STAGE), format="anthropic_messages",
        path="/v1/messages", model="claude-x", streamed=True, body=ASKED,
    )  # fmt: skip
    said, delivered = frames("the \x1b[31mpassword\x1b[0m is hunter2"), frames("the password is [gone]")
    received: list[AnyEvent] = [ResponseStarted(call=SPOKEN, n=1, time=START, status=200, streamed=True)]
    received += [ChunkReceived(call=SPOKEN, n=i + 2, time=START, frame=f) for i, f in enumerate(said)]
    received.append(ResponseCompleted(call=SPOKEN, n=len(said) + 2, lane="original"))
    released: list[AnyEvent] = [ChunkReleased(call=SPOKEN, n=i, frame=f) for i, f in enumerate(delivered)]
    failed = PolicyFailed(call=SPOKEN, n=len(delivered), policy="judge", error="timeout", went="open")
    released += [failed, ResponseCompleted(call=SPOKEN, n=len(delivered) + 1, lane="final")]
    packs: list[tuple[str, list[AnyEvent]]] = [(EDGE, [request, *received]), (STAGE, released)]
    return MadeCall(SPOKEN, packs, b"".join(said), b"".join(delivered))


def frames(text: str) -> list[bytes]:
    """A streamed answer that says `text`."""
    lens = LENSES["anthropic_messages"]
    return lens.refusal(lens.request(ASKED), text, SPOKEN)


@pytest.fixture
def run(gateway: Gateway, capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    """Run a command that must end with `code`; return what it printed, or said of its failure."""

    def run(*words: str, code: int = 0) -> str:
        assert main([*words, "--config", str(gateway.config)]) == code
        out = capfdbinary.readouterr()
        return (out.out or out.err).decode()

    return run


def objects(text: str) -> list[dict[str, Any]]:
    """One JSON object a line."""
    return [json.loads(line) for line in text.splitlines()]


def test_calls_lists_what_is_recorded(run: Run) -> None:
    """One line a call, filters, and one object a line with `call_id`."""
    text = run("calls")
    assert "all_caps:rewrite" in text
    assert "200 completed" in text
    assert {call["call_id"] for call in objects(run("calls", "--json"))} == {SPOKEN, *(c.call_id for c in CALLS)}
    [story] = objects(run("calls", "--json", "--model", "demo/s*", "--session", "s2"))
    assert (story["outcome"], story["chunks_received"], story["first_released_ms"]) == ("completed", 6, 10.4)
    assert run("calls", "--model", "nothing").strip() == "No recorded call like this."


def test_calls_are_found_by_what_a_person_said_of_them(run: Run) -> None:
    """A label, and the user whom a request names; tokens and cost are there once a call is indexed."""
    labelled = CALLS[0].call_id
    run("label", labelled, "attack")
    [call] = objects(run("calls", "--json", "--label", "attack"))
    assert (call["call_id"], call["label"]) == (labelled, "attack")
    assert {"tokens_read", "tokens_written", "cost_usd", "cost_estimated"} <= call.keys()
    assert run("calls", "--user", "nobody", "--label", "attack").strip() == "No recorded call like this."


def test_diff_shows_what_was_said_against_what_was_delivered(run: Run) -> None:
    """Word by word on a screen, and as an object for machines."""
    text = run("diff", SPOKEN, code=1)
    assert "hunter2" in text
    assert "[gone]" in text
    assert "\x1b" not in text
    [found] = objects(run("diff", SPOKEN, "--json", code=1))
    assert found["call_id"] == SPOKEN
    assert "hunter2" in json.dumps(found)
    run("diff", CALLS[2].call_id)  # relayed: exit code 0, nothing differs
    assert "Nothing is recorded as 'ffff'" in run("diff", "ffff", code=2)


def test_shadow_without_verdicts_says_so(run: Run) -> None:
    """A policy that has watched nothing."""
    assert "'all_caps' has watched no call like this" in run("shadow", "all_caps", code=1)


def test_show_prints_both_lanes(run: Run) -> None:
    """What was said beside what was delivered; what would steer the terminal is made visible."""
    text = run("show", SPOKEN[:-2])
    assert "hunter2" in text
    assert "the password is [gone]" in text
    assert "\x1b" not in text
    assert "judge  timeout  went open" in text


def test_show_prints_the_exact_bytes(run: Run) -> None:
    """`--raw` is what was received or sent, byte for byte."""
    for call in (*CALLS, spoken_call()):
        assert run("show", call.call_id, "--lane", "original", "--raw").encode() == call.original
        assert run("show", call.call_id, "--lane", "final", "--raw").encode() == call.final


def test_show_as_json_has_everything(run: Run) -> None:
    """Lanes with times and authors of their frames, and all events that are no chunks."""
    [call] = objects(run("show", CALLS[0].call_id, "--json"))
    final = call["lanes"]["final"]
    assert [frame["by"] for frame in final["frames"]] == [
        "provider", "edge", "provider", "policy", "provider", "provider", "policy",
    ]  # fmt: skip
    assert final["frames"][0]["held_ms"] == 0.4
    assert final["complete"]
    assert {"request.received", "verdict.reached", "response.delivered"} <= {event["type"] for event in call["events"]}


def test_policies_are_tried_on_a_recorded_call(run: Run) -> None:
    """On what came in, whatever was made of it then; a call that is not there, or not whole, says so."""
    replace = ["string_replace", "--with", '{"replace": [["hunter2", "***"]]}']
    [line] = objects(run("policies", "try", *replace, SPOKEN[:-2]))
    assert (line["id"], line["verdict"]) == (SPOKEN, "rewrite")
    assert "hunter2" not in line["output"]["response"]
    assert "password" in line["output"]["response"]
    assert json.loads(line["output"]["request"]) == json.loads(ASKED)
    [same] = objects(run("policies", "try", "noop", SPOKEN))
    assert (same["verdict"], same["output"]["response"].encode()) == ("allow", spoken_call().original)
    assert "luthien-stream calls" in run("policies", "try", "noop", "ffff", code=1)


def test_mistakes_are_explained(run: Run) -> None:
    """An unknown or ambiguous id, a missing lane, and a time that is none."""
    assert "luthien-stream calls" in run("show", "ffff", code=1)
    assert "Several calls begin with" in run("show", CALLS[0].call_id[:-1], code=1)
    assert "--lane original" in run("show", SPOKEN, "--raw", code=1)
    assert "write 10m" in run("calls", "--since", "yesterday", code=1)


def test_tail_prints_what_is_kept(run: Run) -> None:
    """One line an event, with what it says; filters by call, session, model and type."""
    text = run("tail", "--no-follow", "--call", SPOKEN[:23])
    assert '"the password is [gone]"' in text
    assert "\x1b" not in text
    assert {e["correlationid"] for e in objects(run("tail", "--no-follow", "--session", "s2", "--json"))} == {
        CALLS[1].call_id
    }
    kinds = {e["type"] for e in objects(run("tail", "--no-follow", "--type", "verdict.*", "--json"))}
    assert kinds == {"verdict.reached"}
    assert run("tail", "--no-follow", "--since", "2999-01-01") == ""


def test_dead_letters_are_listed_tried_again_and_dropped(run: Run) -> None:
    """Poison can be looked at; tried again it comes back, since it is still poison; dropped it is gone."""
    [letter] = objects(run("dead-letter", "list", "--json"))
    assert (letter["by"], letter["call_id"], letter["type"]) == ("activity", "poison", "chunk.received")
    assert "StoreRefused" in run("dead-letter")
    assert "out of its column's range" in run("dead-letter", "show", letter["id"])
    run("dead-letter", "retry", letter["id"])
    assert run("dead-letter").strip() == "No dead letters."
    assert "No dead letter has this id" in run("dead-letter", "drop", letter["id"], code=1)


def test_without_a_record_the_commands_say_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """`database: none`: the message names what still works."""
    config = tmp_path / "luthien.yaml"
    config.write_text("redis: redis://127.0.0.1:1\ndatabase: none\n")
    for words in (["calls"], ["show", "x"]):
        assert main([*words, "--config", str(config)]) == 1
        assert "luthien-stream tail" in capfd.readouterr().err
    assert os.environ.get("PGPASSWORD") is None
