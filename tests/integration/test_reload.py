"""Another pipeline while calls run: from the file or over the admin listener, to every process, or refused whole."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from luthien_stream.bus.memory import MemoryBus
from luthien_stream.cli.hold import claim
from luthien_stream.config.instance import Instance
from luthien_stream.config.load import load_config
from luthien_stream.edge import edge as edges
from luthien_stream.edge import following
from luthien_stream.edge.admin import admin_token
from luthien_stream.edge.process import serve as serve_edge
from luthien_stream.errors import ConfigError
from luthien_stream.policy.in_force import InForce
from luthien_stream.testing.provider import FakeProvider
from luthien_stream.worker import process
from luthien_stream.worker.limits import Limits
from luthien_stream.worker.process import serve as serve_worker
from tests.wait import wait_until

CAPS = "pipeline: [{use: all_caps}]\n"
NONE = "pipeline: []\n"
MARK = '''
"""Puts a mark before each text."""
from luthien_stream.policy import Policy, Text

class Mark(Policy):
    async def response(self, events, ctx):
        async for event in events:
            yield event.with_text("%s" + event.text) if isinstance(event, Text) else event
'''


class Gateway:
    """An edge, a worker, and one for what watches, on one bus; the configuration is a file."""

    def __init__(self, folder: Path, provider: FakeProvider, client: aiohttp.ClientSession) -> None:
        self.file, self.bus = folder / "luthien.yaml", MemoryBus()
        self._provider, self._client, self._data = provider, client, folder
        self.listen, self.admin = (claim("127.0.0.1:0", "") for _ in range(2))
        self.again = asyncio.Event()
        self.stop = asyncio.Event()

    def write(self, pipeline: str) -> None:
        """Write the configuration."""
        formats = "[openai_chat, anthropic_messages, openai_responses]"
        fake = f"providers: {{fake: {{base_url: '{self._provider.url}', format: {formats}, passthrough: true}}}}\n"
        self.file.write_text(fake + pipeline)

    async def run(self, ready: asyncio.Event) -> None:
        """Run until stopped."""
        config = load_config(self.file, {})
        instance = Instance(1, self.listen, self.admin, "memory", "none", str(self.file))
        more: dict[str, Any] = {"data": self._data, "bus": self.bus, "stop": self.stop}
        await asyncio.gather(
            serve_worker(config, instance, again=self.again, **more),
            serve_worker(config, instance, stage="shadow", **more),
            serve_edge(config, instance, index=0, ready=ready.set, **more),
        )

    async def said(self, model: str = "text-3") -> str:
        """What the model says, as the client gets it."""
        body = {"model": model, "messages": [{"role": "user", "content": "x"}]}
        headers = {"authorization": "Bearer k"}
        async with self._client.post(f"http://{self.listen}/v1/chat/completions", json=body, headers=headers) as got:
            answer = await got.json()
            return str(answer["choices"][0]["message"]["content"]) if got.status == 200 else f"{got.status} {answer}"

    async def api(self, method: str = "GET", body: str = "") -> tuple[int, Any]:
        """Ask the admin listener about the pipeline."""
        headers = {"authorization": f"Bearer {admin_token(self._data)}"}
        url = f"http://{self.admin}/luthien/api/pipeline"
        async with self._client.request(method, url, data=body, headers=headers) as got:
            return got.status, await got.json()

    async def until_in_force(self, *names: str) -> None:
        """Wait until the edge has these stages."""

        async def there() -> bool:
            _, shown = await self.api()
            return [stage["stage"].partition("@")[0] for stage in shown["in_force"]] == list(names)

        await wait_until(there)

    async def workers(self) -> set[str]:
        """The stages that workers serve."""
        return {key for facts in (await self.bus.alive("worker")).values() for key in facts["stages"].split(",") if key}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often, and let go of what is unused at once."""
    monkeypatch.setattr(following, "PERIOD_S", 0.05)
    monkeypatch.setattr(edges, "UNUSED_S", 0.0)
    monkeypatch.setattr(process, "FOLLOW_S", 0.05)
    monkeypatch.setattr(process, "Limits", lambda: Limits(block_s=0.05, beat_s=0.2))


@asynccontextmanager
async def gateway(folder: Path, pipeline: str) -> AsyncIterator[Gateway]:
    """Start one and stop it."""
    async with FakeProvider() as provider, aiohttp.ClientSession() as client:
        made, ready = Gateway(folder, provider, client), asyncio.Event()
        made.write(pipeline)
        running = asyncio.create_task(made.run(ready))
        try:
            await wait_until(lambda: ready.is_set() or running.done())
            await wait_until(lambda: not running.done())
            yield made
        finally:
            made.stop.set()
            await running


@pytest.mark.usefixtures("quick")
async def test_a_changed_file_reaches_every_process(tmp_path: Path) -> None:
    """Told to a worker, followed by the edge, from policies to none and back."""
    async with gateway(tmp_path, CAPS) as up:
        loud = await up.said()
        up.write(NONE)
        up.again.set()
        await up.until_in_force()
        quiet = await up.said()
        assert (loud, loud == quiet) == (quiet.upper(), False)
        await wait_until(lambda: _served(up, 0))
        up.write(CAPS)
        up.again.set()
        await up.until_in_force("main")
        assert await up.said() == loud


@pytest.mark.usefixtures("quick")
async def test_a_bad_pipeline_is_refused_whole_with_its_lines(tmp_path: Path) -> None:
    """What was in force stays everywhere, also where the file is bad."""
    async with gateway(tmp_path, CAPS) as up:
        _, before = await up.api()
        bad = "- use: noop\n- use: string_replace\n  with: {find: a}\n- {use: nothing_like_it, on_eror: open}\n"
        status, said = await up.api("PUT", bad)
        assert status == 400
        assert [problem["line"] for problem in said["problems"]] == [4]
        status, said = await up.api("PUT", "- use: noop\n- use: noop\n  stage: B\n- {use: nothing_like_it, stage: c}\n")
        assert [problem["line"] for problem in said["problems"]] == [3, 4]
        status, said = await up.api("PUT", "use: noop\n")
        assert (status, "expected a list" in said["error"]) == (400, True)
        up.write("pipeline: [{use: nothing_like_it}]\n")
        up.again.set()
        await wait_until(lambda: not up.again.is_set())
        assert (await up.said()).isupper()
        assert (await up.api())[1] == before


@pytest.mark.usefixtures("quick")
async def test_a_pipeline_is_put_over_the_admin_listener(tmp_path: Path) -> None:
    """With stages, and policies that watch; it is shown as it was written, without what variables hold."""
    async with gateway(tmp_path, NONE) as up:
        pipeline = [
            {"use": "all_caps"},
            {"use": "string_replace", "with": {"replace": [["A", "${PATH}"]]}, "stage": "second"},
            {"use": "noop", "mode": "shadow"},
        ]
        status, said = await up.api("PUT", json.dumps(pipeline))
        assert status == 202, said
        await up.until_in_force("main", "second", "shadow")
        _, shown = await up.api()
        assert (shown["pipeline"], shown["by"], shown["pending"]) == (pipeline, "api", None)
        assert [stage["policies"][0]["name"] for stage in shown["in_force"]] == ["all_caps", "string_replace", "noop"]
        assert await up.said()
        await wait_until(lambda: _served(up, 3))
        assert b"${PATH}" in up.bus.data.values["pipeline"].body


async def _served(up: Gateway, count: int) -> bool:
    return len(await up.workers()) == count


@pytest.mark.usefixtures("quick")
async def test_a_changed_policy_file_is_another_version(tmp_path: Path) -> None:
    """Calls that run finish on theirs: its workers stay until the last of them is over."""
    (tmp_path / "workers").mkdir()
    policy = tmp_path / "workers" / "mark.py"
    policy.write_text(MARK % "one ")
    async with gateway(tmp_path, "pipeline: [{use: mark}]\n") as up:
        assert (await up.said()).startswith("one ")
        body = {"model": "stall-5", "stream": True, "messages": [{"role": "user", "content": "x"}]}
        url, headers = f"http://{up.listen}/v1/chat/completions", {"authorization": "Bearer k"}
        async with up._client.post(url, json=body, headers=headers) as running:
            assert b"one " in b"".join([await running.content.readuntil(b"\n\n") for _ in range(3)])
            policy.write_text(MARK % "two ")
            up.again.set()
            await wait_until(lambda: _says(up, "two "))
            assert len(await up.workers()) == 2
        await wait_until(lambda: _served(up, 1))
        assert (await up.said()).startswith("two ")


async def _says(up: Gateway, word: str) -> bool:
    return (await up.said()).startswith(word)


@pytest.mark.usefixtures("quick")
async def test_a_process_that_starts_takes_what_is_in_force(tmp_path: Path) -> None:
    """Not what the file said, unless that has changed since."""
    async with gateway(tmp_path, NONE) as up:
        await up.api("PUT", '[{"use": "all_caps"}]')
        await up.until_in_force("main")
        instance = Instance(1, "", "", "memory", "none", str(up.file))
        for written, stages in ((NONE, 1), ("pipeline: [{use: noop}, {use: noop, stage: b}]\n", 2)):
            up.write(written)
            stop, before = asyncio.Event(), set(await up.bus.alive("worker"))
            more: dict[str, Any] = {"data": tmp_path, "bus": up.bus, "stop": stop}
            late = asyncio.create_task(serve_worker(load_config(up.file, {}), instance, **more))
            await wait_until(lambda before=before: _new(up, before))  # type: ignore[misc]
            (name,) = set(await up.bus.alive("worker")) - before
            assert len((await up.bus.alive("worker"))[name]["stages"].split(",")) == stages
            stop.set()
            await late


@pytest.mark.usefixtures("quick")
async def test_a_process_that_cannot_load_what_is_in_force_does_not_start(tmp_path: Path) -> None:
    """With what the file says it would take part in less."""
    async with gateway(tmp_path, NONE) as up:
        (tmp_path / "workers").mkdir(exist_ok=True)
        own = tmp_path / "workers" / "own.py"
        own.write_text(MARK % "own ")
        await up.api("PUT", '[{"use": "own"}]')
        await up.until_in_force("main")
        own.unlink()
        in_force = InForce.over(up.bus, up.file)
        with pytest.raises(ConfigError, match="no policy 'own'"):
            await in_force.begin(load_config(up.file, {}))
        assert not in_force.stages


async def _new(up: Gateway, before: set[str]) -> bool:
    return bool(set(await up.bus.alive("worker")) - before)
