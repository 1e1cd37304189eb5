"""Policies that are put in force as they are saved, and stay in force while the file is broken."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import structlog

from luthien_stream.cli.pipeline_check import load_checked
from luthien_stream.cli.reload import Files, watch
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


@asynccontextmanager
async def watched(config: Path) -> AsyncIterator[list[str]]:
    """Watch a configuration; what is put in force is its pipeline's marks."""
    marks: list[str] = []

    def reload() -> None:
        marks.append(str(load_checked(config).pipeline[0].with_))

    task = asyncio.create_task(watch(Files(config), lambda: load_checked(config), reload, every_s=0.005))
    try:
        yield marks
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


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


async def test_what_is_saved_is_put_in_force(config: Path) -> None:
    """Again and again."""
    async with watched(config) as marks:
        save(config, "pipeline:\n  - {use: shout, with: {mark: a}}\n")
        await wait_until(lambda: len(marks) == 1)
        save(config, "pipeline:\n  - {use: shout, with: {mark: b}}\n")
        await wait_until(lambda: len(marks) == 2)
    assert marks == ["{'mark': 'a'}", "{'mark': 'b'}"]


async def test_a_broken_file_changes_nothing(config: Path) -> None:
    """It is said with its line; the mended one is put in force."""
    file = config.parent / "workers" / "shout.py"
    with structlog.testing.capture_logs() as logs:
        async with watched(config) as marks:
            save(file, SHOUT + "\n1 / 0\n")
            await wait_until(lambda: any(one["event"] == "reload_refused" for one in logs))
            assert marks == []
            save(file, SHOUT + "# mended\n")
            await wait_until(lambda: len(marks) == 1)
    refused = next(one for one in logs if one["event"] == "reload_refused")
    assert "shout.py:13: ZeroDivisionError" in refused["message"]
    assert "luthien.yaml:2:" in refused["message"]


def test_a_policy_in_force_keeps_its_module(config: Path) -> None:
    """So that its failures still name its file, although the file on disk is broken."""
    folder = config.parent / "workers"
    policy = find("shout", folder)
    module = sys.modules[policy.__module__]
    (folder / "shout.py").write_text("def (")
    with pytest.raises(ConfigError, match="SyntaxError"):
        find("shout", folder)
    assert sys.modules[policy.__module__] is module
