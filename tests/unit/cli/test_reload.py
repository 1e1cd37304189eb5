"""Policies that are put in force as they are saved, and stay in force while the file is broken."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from luthien_stream.cli import reload
from luthien_stream.cli.pipeline_check import load_checked
from luthien_stream.cli.reload import Files, reloading
from luthien_stream.config.instance import Instance
from luthien_stream.config.model import Config
from luthien_stream.errors import ConfigError
from luthien_stream.policy.catalogue import find
from tests.wait import wait_until

SHOUT = '''
"""Shout."""
from luthien_stream.policy import Policy, Text


class Shout(Policy):
    mark: str = "!"

    async def response(self, events, ctx):
        async for event in events:
            yield event.with_text(event.text + self.mark) if isinstance(event, Text) else event
'''


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration with one own policy."""
    (tmp_path / "workers").mkdir()
    (tmp_path / "workers" / "shout.py").write_text(SHOUT)
    (tmp_path / "luthien.yaml").write_text("pipeline:\n  - use: shout\n")
    return tmp_path / "luthien.yaml"


def save(file: Path, text: str) -> None:
    """Write a file so that it is newer, however fast the test is."""
    before = file.stat().st_mtime_ns if file.exists() else 0
    file.write_text(text)
    os.utime(file, ns=(before + 1_000_000, before + 1_000_000))


def test_a_change_is_seen_once(config: Path) -> None:
    """Of the configuration, of a policy, of a new file and of one that is gone; not of other files."""
    files, folder = Files(config), config.parent / "workers"
    assert files.changed() == []
    save(config, "pipeline: []\n")
    save(folder / "other.py", SHOUT)
    (folder / "notes.txt").write_text("x")
    assert files.changed() == ["luthien.yaml", "other.py"]
    assert files.changed() == []
    (folder / "shout.py").unlink()
    assert files.changed() == ["shout.py"]


def instance(config: str) -> Instance:
    """Where a role runs."""
    return Instance(pid=1, listen="", admin="", redis="memory", database="none", config=config)


async def test_a_role_reads_again_what_is_saved(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each change once, until the role ends; then nobody watches any more."""
    monkeypatch.setattr(reload.watch, "__kwdefaults__", {"every_s": 0.005})
    read: list[str] = []

    async def serve(config_: Config, instance: Instance, *, again: asyncio.Event) -> None:
        for mark in ("a", "b"):
            save(config, f"pipeline:\n  - {{use: shout, with: {{mark: {mark}}}}}\n")
            async with asyncio.timeout(10):
                await again.wait()
            again.clear()
            read.append(str(load_checked(config).pipeline[0].with_))

    await reloading(serve)(Config(), instance(str(config)), again=asyncio.Event())
    assert read == ["{'mark': 'a'}", "{'mark': 'b'}"]
    await wait_until(lambda: not any(task.get_name() == "files" for task in asyncio.all_tasks()))


async def test_without_a_file_there_is_nothing_to_watch() -> None:
    """The message says what to do."""

    async def serve(*_: object, **__: object) -> None:
        raise AssertionError("it must not start")

    with pytest.raises(ConfigError, match="--reload needs a configuration file"):
        await reloading(serve)(Config(), instance(""), again=asyncio.Event())


def test_a_policy_in_force_keeps_its_module(config: Path) -> None:
    """So that its failures still name its file, although the file on disk is broken."""
    folder = config.parent / "workers"
    policy = find("shout", folder)
    module = sys.modules[policy.__module__]
    (folder / "shout.py").write_text("def (")
    with pytest.raises(ConfigError, match="SyntaxError"):
        find("shout", folder)
    assert sys.modules[policy.__module__] is module
