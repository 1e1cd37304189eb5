"""What was said and what it cost: the index over recorded calls, whatever is in them and whenever they are read."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from luthien_stream.activity.find import Selection
from luthien_stream.activity.heads import HeadsFile
from luthien_stream.activity.indexing import Indexing
from luthien_stream.activity.recall import records_of
from luthien_stream.activity.sealing import Sealing
from luthien_stream.activity.search import list_sessions, search, unread
from luthien_stream.activity.store import Store
from luthien_stream.bus.memory import MemoryBus
from luthien_stream.edge.ids import uuid7
from luthien_stream.embedded.postgres import EmbeddedPostgres
from luthien_stream.events.log import (
    AnyEvent,
    ChunkReceived,
    RequestReceived,
    ResponseCompleted,
    ResponseDelivered,
    ResponseFailed,
    ResponseStarted,
    Slip,
)
from tests.integration.activity_rig import all_recorded, consuming, database, open_store, publish, register
from tests.recorded import EDGE, RECORD, START, MadeCall, staged_call

MODEL = "gpt-4o-mini"
CLOCK = count(time.time_ns(), 1_000_000)
"""A millisecond from call to call, so that ids are in order."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        yield runner.run(stack.enter_async_context(database(tmp_path_factory.mktemp("said"))))
        runner.run(stack.aclose())


@pytest.fixture
async def store(server: EmbeddedPostgres) -> AsyncIterator[Store]:
    async with open_store(server.dsn) as made:
        yield made


def turn(messages: list[str], answer: str, *, session: str = "s", status: int = 200, usage: bool = True) -> MadeCall:
    """A call of a conversation: user and model take turns in `messages`, and the model says `answer`."""
    call = uuid7(next(CLOCK), bytes(8))
    roles = ("user", "assistant")
    body = {"model": MODEL, "messages": [{"role": roles[i % 2], "content": m} for i, m in enumerate(messages)]}
    frame = json.dumps({"choices": [{"index": 0, "message": {"role": "assistant", "content": answer}}]}).encode()
    counts: dict[str, Any] | None = {"prompt_tokens": 1000, "completion_tokens": 100} if usage else None
    asked: list[AnyEvent] = [
        RequestReceived(
            call=call, n=0, time=START, edge="e1", slip=Slip(), format="openai_chat", path="/v1/chat/completions",
            body=json.dumps(body).encode(), model=MODEL, session=session,
        )
    ]  # fmt: skip
    if status:
        asked.append(ResponseStarted(call=call, n=1, time=START, status=status, provider="openai"))
    if status == 200:
        asked.append(ChunkReceived(call=call, n=2, time=START, frame=frame, kind="body"))
        asked.append(ResponseCompleted(call=call, n=3, time=START, lane="original", usage=counts))
    else:
        asked.append(ResponseFailed(call=call, n=2 if status else 1, time=START, lane="original", error="upstream"))
    over: list[AnyEvent] = [
        ResponseDelivered(call=call, n=0, time=START, last=9, bytes=1),
        ResponseCompleted(call=call, n=1, time=START, lane="final"),
    ]
    return MadeCall(call, [(EDGE, asked), (RECORD, over)], b"", b"")


async def record(store: Store, folder: Path, calls: list[MadeCall]) -> None:
    """Put calls on record, ended and sealed."""
    bus, sealing = MemoryBus(), Sealing(store, HeadsFile(folder / "heads"), asyncio.Event())
    await register(bus)
    await publish(bus, calls)
    async with consuming(bus, store):
        await all_recorded(bus)
    sealing.touch([call.call_id for call in calls])
    assert await sealing.look(quiet_s=0) == len(calls)


async def index(store: Store) -> None:
    """Index all that waits, as the recorder does."""
    indexing = Indexing(store, asyncio.Event())
    for _ in range(10):
        if not await indexing.look():
            return
    raise AssertionError("the index does not come to an end")


async def said(store: Store) -> list[tuple[str, str]]:
    """All that is indexed, in order."""
    rows = await store.select("SELECT role, text FROM said ORDER BY call_id, role DESC, part")
    return [(row["role"], row["text"]) for row in rows]


async def test_a_history_that_is_sent_again_is_indexed_once_however_late(store: Store, tmp_path: Path) -> None:
    """Of a whole conversation that waits: each text once, with the call that said it first."""
    words: list[str] = []
    calls = []
    for number in range(25):
        words += [f"question {number}", f"answer {number}"]
        calls.append(turn(words[:-1], words[-1]))
    await record(store, tmp_path, calls)
    await index(store)
    assert [text for role, text in await said(store) if role == "user"] == words[::2]
    assert [text for role, text in await said(store) if role == "model"] == words[1::2]
    assert await unread(store) == 0


def hostile() -> str:
    """A text whose lexemes take more room than PostgreSQL gives a document: each word is several of them."""
    chance = random.Random(5)
    letters = [chr(0x4E00 + i) for i in range(4000)]
    return " ".join("-".join("".join(chance.choices(letters, k=2)) for _ in range(6)) for _ in range(11_000))


HOSTILE: dict[str, Callable[[], str]] = {
    "hyphens": hostile,
    "hosts": lambda: " ".join(f"{random.Random(i).randrange(36**4):x}.example.com/{i}" for i in range(9000)),
    "emails": lambda: " ".join(f"u{i}@h{i}.com" for i in range(12_000)),
    "NUL": lambda: "needle \0 zzz",
    "one word": lambda: "x" * 200_000,
    "control": lambda: "needle \x02\x03\x1b[31m",
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_no_text_keeps_other_calls_from_the_index(store: Store, tmp_path: Path, name: str) -> None:
    """What PostgreSQL cannot take is left out; the call counts as read, and the next is found."""
    await record(store, tmp_path, [turn(["fine before"], "ok"), turn([HOSTILE[name]()], "odd"), turn(["fine"], "ok")])
    await index(store)
    assert await unread(store) == 0
    assert len(await search(store, "fine", Selection())) == 2


@pytest.mark.parametrize("status", [0, 403, 500])
async def test_what_a_provider_did_not_answer_costs_nothing(store: Store, tmp_path: Path, status: int) -> None:
    """A call that was refused, or failed before an answer, has no tokens, and that is no estimate."""
    await record(store, tmp_path, [turn(["x" * 4000], "", status=status, usage=False)])
    await index(store)
    (row,) = await store.select("SELECT input, output, cost, estimated FROM outcomes")
    assert (row["input"], row["output"], row["cost"] or 0, row["estimated"]) == (0, 0, 0, False)


async def test_tokens_are_the_providers_and_else_an_estimate(store: Store, tmp_path: Path) -> None:
    """Without counts the cost is marked as estimated."""
    await record(store, tmp_path, [turn(["a"], "b"), turn(["x" * 4000], "y" * 400, usage=False)])
    await index(store)
    counted, guessed = await store.select("SELECT input, output, cost, estimated FROM outcomes ORDER BY call_id")
    assert (counted["input"], counted["output"], counted["estimated"]) == (1000, 100, False)
    assert counted["cost"] == pytest.approx(1000 * 0.15e-6 + 100 * 0.6e-6)
    assert (guessed["output"], guessed["estimated"]) == (100, True)
    assert guessed["input"] >= 1000


async def test_a_session_counts_each_verdict_once(store: Store, tmp_path: Path) -> None:
    """Later stages say again what earlier ones said: only the last one's word counts."""
    made = staged_call(7)
    asked = made.packs[0][1][0]
    assert isinstance(asked, RequestReceived)
    made.packs[0][1][0] = RequestReceived(
        call=asked.call, n=0, time=asked.time, edge="e1", slip=asked.slip, format="openai_chat", path="/", body=b"{}",
        session="s",
    )  # fmt: skip
    await record(store, tmp_path, [made])
    (row,) = await list_sessions(store)
    assert json.loads(row["verdicts"]) == {"allow": 2}


async def test_what_is_forgotten_while_it_is_indexed_stays_forgotten(store: Store, tmp_path: Path) -> None:
    """A call that was read before it was forgotten leaves no row behind."""
    call = turn(["a secret"], "ok")
    await record(store, tmp_path, [call])
    (held,) = await records_of(store, [call.call_id])
    await store.fetch("forget_calls", [call.call_id])
    await Indexing(store, asyncio.Event()).index(held)
    assert await said(store) == []
    assert await store.select("SELECT call_id FROM outcomes") == []
