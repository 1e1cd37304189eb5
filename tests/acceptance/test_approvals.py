"""People decide on held tool calls with the command line, while workers and edges die around them."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from luthien_stream.testing.provider import FakeProvider
from tests.acceptance.clients import HEADERS, Received, body, session
from tests.acceptance.gateway import COMMAND, Gateway, kill
from tests.wait import wait_until

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]
ROUNDS = 4
COMMANDS = {"command": "rm -rf build \u202e;sl"}
SAID = f"use sh {json.dumps(COMMANDS)}"
POLICY = '''
"""Asks a person about every tool call."""
from luthien_stream.policy import Context, Hold, ToolCall, ToolGate, Verdict


class AskFirst(ToolGate):
    """Holds every tool call."""

    wait_s: float = 120.0

    async def check(self, call: ToolCall, ctx: Context) -> Verdict:
        """Hold."""
        return Hold("it runs something", "Nobody allowed that.", self.wait_s)
'''


@asynccontextmanager
async def asking(tmp_path: Path, wait_s: float = 120.0, **more: Any) -> AsyncIterator[Gateway]:
    """A gateway whose policy asks a person about every tool call."""
    (tmp_path / "workers").mkdir()
    (tmp_path / "workers" / "ask_first.py").write_text(POLICY)
    pipeline = [{"use": "ask_first", "with": {"wait_s": wait_s}}]
    more.setdefault("database", "none")
    async with FakeProvider() as fake, Gateway(tmp_path, fake.url, pipeline=pipeline, **more) as up:
        yield up


def ask(gateway: Gateway, http: aiohttp.ClientSession, said: str = SAID) -> asyncio.Task[Received]:
    """Have the model call a tool, in one session."""
    tools = [{"name": "sh", "description": "Runs", "input_schema": {"type": "object", "properties": {}}}]
    request = body("claude/act", said=said, tools=tools)
    del request["input"]

    async def send() -> Received:
        got = Received()
        try:
            headers = {**HEADERS, "x-session-id": "run 7"}
            async with http.post(f"{gateway.url}/v1/messages", json=request, headers=headers) as answer:
                got.status, got.call_id = answer.status, answer.headers.get("x-luthien-call-id", "")
                async for data in answer.content.iter_any():
                    got.body += data
        except aiohttp.ClientError as error:
            got.broken = type(error).__name__
        return got

    return asyncio.create_task(send())


def command(got: Received) -> dict[str, Any] | None:
    """The arguments of the tool call that the client was given, None for none."""
    parts = [
        json.loads(frame.partition(b"data: ")[2])["delta"]["partial_json"]
        for frame in got.body.split(b"\n\n")
        if b"input_json_delta" in frame
    ]
    return json.loads("".join(parts)) if parts else None


async def approvals(gateway: Gateway, *words: str) -> tuple[int, str]:
    """Run the command."""
    return await run_command(gateway, "approvals", *words)


async def run_command(gateway: Gateway, *words: str) -> tuple[int, str]:
    """Run a command; return its exit code and what it said."""
    run = [COMMAND, *words, "--data", str(gateway.data)]
    done = await asyncio.to_thread(subprocess.run, run, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


async def waiting(gateway: Gateway, *flags: str, but: str = "") -> dict[str, Any]:
    """What waits for an answer, once there is something; with `--all`, what has waited."""
    found: list[dict[str, Any]] = []

    async def there() -> bool:
        _, said = await approvals(gateway, "list", "--json", *flags)
        found[:] = [hold for hold in map(json.loads, said.splitlines()) if hold["call_id"] != but]
        return bool(found)

    await wait_until(there, timeout=30)
    return found[0]


async def test_people_decide_on_the_command_line(tmp_path: Path) -> None:
    """They see each character; each answer does what it says, and a second one is told who was first."""
    async with asking(tmp_path) as gateway, session() as http:
        words = [COMMAND, "approvals", "watch", "--json", "--data", str(gateway.data)]
        pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
        watching = await asyncio.create_subprocess_exec(*words, stdout=pipe, stdin=nothing)
        held = ask(gateway, http)
        hold = await waiting(gateway)
        assert json.loads(hold["arguments"]) == COMMANDS
        _, page = await approvals(gateway, "show", hold["call_id"][:18])
        assert "⟨U+202E⟩" in page
        assert "\u202e" not in page
        assert await approvals(gateway, "approve", hold["call_id"], "--by", "ann") == (
            0,
            "approve: the call goes on with it\n",
        )
        assert command(await held) == COMMANDS
        code, said = await approvals(gateway, "reject", hold["call_id"], "--by", "bob")
        assert (code, "already decided: approve by ann" in said) == (3, True)
        for kind, wanted in (("modify", {"command": "ls"}), ("reject", None)):
            held = ask(gateway, http)
            hold = await waiting(gateway, but=hold["call_id"])
            more = ["--args", '{"command": "ls"}'] if kind == "modify" else []
            assert (await approvals(gateway, kind, hold["call_id"], *more))[0] == 0
            assert command(await held) == wanted
        watching.terminate()
        lines, _ = await watching.communicate()
        told = [json.loads(line)["status"] for line in lines.splitlines()]
        assert told[:2] == ["waiting", "approve"]


async def test_a_late_approval_counts_for_the_next_identical_tool_call(tmp_path: Path) -> None:
    """Once; and a late rejection says that it is one."""
    async with asking(tmp_path, wait_s=1.0) as gateway, session() as http:
        held = ask(gateway, http)
        assert command(await held) is None
        hold = await waiting(gateway, "--all")
        code, said = await approvals(gateway, "reject", hold["call_id"])
        assert (code, "too late" in said) == (3, True)
        assert (await approvals(gateway, "approve", hold["call_id"], "--for", "1h"))[0] == 0
        assert command(await ask(gateway, http)) == COMMANDS
        assert command(await ask(gateway, http)) is None


async def test_a_worker_killed_while_a_person_is_awaited_is_taken_over(tmp_path: Path) -> None:
    """Every client has the very bytes of an undisturbed run, whatever died while it waited."""
    async with asking(tmp_path, workers=2, database="embedded") as gateway, session() as http:
        calm = ask(gateway, http)
        hold = await waiting(gateway)
        await approvals(gateway, "approve", hold["call_id"])
        want = (await calm).body
        for _ in range(ROUNDS):
            held = ask(gateway, http)
            hold = await waiting(gateway, but=hold["call_id"])
            for worker in gateway.role("worker"):
                kill(worker)
            code, said = await approvals(gateway, "approve", hold["call_id"])
            assert (code, said) in ((0, "approve: the call goes on with it\n"), (4, said))
            assert (await held).body == want
        await gateway.proved(1 + ROUNDS)


async def test_an_approval_outlives_the_edge_of_its_call(tmp_path: Path) -> None:
    """The edge is killed, the approval given meanwhile; the agent asks again, and nobody is asked a second time."""
    async with asking(tmp_path) as gateway, session() as http:
        held = ask(gateway, http)
        hold = await waiting(gateway)
        kill(gateway.role("edge")[0])
        assert (await held).broken
        assert (await approvals(gateway, "approve", hold["call_id"]))[0] == 0
        await wait_until(gateway.ready, timeout=30)
        assert command(await ask(gateway, http)) == COMMANDS
        _, known = await approvals(gateway, "list", "--all", "--json")
        assert len(known.splitlines()) == 1
        second = ask(gateway, http)
        again = await waiting(gateway, but=hold["call_id"])
        assert (await approvals(gateway, "reject", again["call_id"]))[0] == 0
        assert command(await second) is None


async def test_a_session_is_stopped_while_a_person_is_asked(tmp_path: Path) -> None:
    """The client has a whole turn that says who it was; nothing waits any more, and stopping again finds nothing."""
    async with asking(tmp_path, edges=2) as gateway, session() as http:
        held = [ask(gateway, http) for _ in range(3)]
        await waiting(gateway)
        ids: set[str] = set()
        while not all(task.done() for task in held):
            code, said = await run_command(gateway, "stop", "run 7", "--by", "ann", "--reason", "enough")
            assert (code, set(said.split())) == (0, {"ended", *(ids_of(said))}) or code == 3
            ids |= ids_of(said)
        for got in [await task for task in held]:
            assert got.call_id in ids
            assert (got.broken, command(got)) == ("", None)
            assert b"Stopped by ann: enough" in got.body
            assert b"message_stop" in got.body
        assert await approvals(gateway, "list") == (0, "Nothing waits for an answer.\n")
        assert (await run_command(gateway, "stop", "--all"))[0] == 3


def ids_of(said: str) -> set[str]:
    """The calls that were ended."""
    return {line.removeprefix("ended ") for line in said.splitlines() if line.startswith("ended ")}
