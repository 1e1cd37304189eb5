"""`luthien-stream up`: the servers, then every role as a child process, until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

import msgspec
import structlog

from luthien_stream.bus import connect
from luthien_stream.cli.child import RoleChild, ServerChild
from luthien_stream.cli.common import (
    add_instance_flags,
    add_listen_flags,
    config_path,
    console,
    count,
    data_folder,
    fail,
    run_async,
)
from luthien_stream.cli.hold import claim, hold
from luthien_stream.cli.pipeline_check import load_checked
from luthien_stream.cli.probe import why_not_ready
from luthien_stream.cli.role import end_with_parent
from luthien_stream.cli.roles import TaskChild, make_roles, stage_workers
from luthien_stream.cli.supervise import Fleet
from luthien_stream.cli.welcome import welcome
from luthien_stream.config.check import check
from luthien_stream.config.instance import Instance, write_instance
from luthien_stream.config.load import policy_folder, without_effect
from luthien_stream.config.model import Admin, Config
from luthien_stream.embedded.postgres import EmbeddedPostgres
from luthien_stream.embedded.valkey import EmbeddedValkey
from luthien_stream.errors import ConfigError
from luthien_stream.events.slip import SHADOW
from luthien_stream.logging import configure
from luthien_stream.policy.catalogue import load_stages
from luthien_stream.policy.in_force import NAME as PIPELINE

log = structlog.get_logger()

HELP = """Start everything on this machine: the gateway, a policy worker, the recorder, and a Valkey and a Postgres of
its own unless the configuration names others. Every role is a child process; one that ends is started again. Ctrl-C
lets open calls end and stops all of it in order, a second Ctrl-C stops it at once. SIGHUP reads the pipeline again."""
EPILOG = """\
examples:
  luthien-stream up                               data in .luthien, configuration from luthien.yaml if there is one
  luthien-stream up --listen 127.0.0.1:9000       another port
  luthien-stream up --config policies.yaml --workers 4
"""
SERVERS_RANK = 9
SLOW_START_S = 20.0
MOST = 64
"""Edges or workers that one `up` starts."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    add_instance_flags(parser, json=False)
    add_listen_flags(parser)
    parser.add_argument(
        "--edges", type=_processes, default=1, metavar="N", help="gateway processes on one port (default: 1)"
    )
    parser.add_argument("--workers", type=_processes, default=1, metavar="N", help="policy workers (default: 1)")


def _processes(text: str) -> int:
    number = count(text)
    if number > MOST:
        raise argparse.ArgumentTypeError(f"{number} are too many for one machine: at most {MOST}")
    return number


def run(args: argparse.Namespace) -> int:
    """Run until told to stop."""
    configure("up")
    end_with_parent(signal.SIGTERM)
    data, path = data_folder(args), config_path(args)
    config = with_flags(load_checked(path), args)
    for remark in without_effect(path, os.environ):
        log.warning("configuration_without_effect", line=remark.line, message=remark.message)
    with hold(data):
        config = msgspec.structs.replace(
            config,
            listen=claim(config.listen, "--listen"),
            admin=Admin(listen=claim(config.admin.listen, "--admin")),
        )
        return run_async(bring_up(config, path, data, edges=args.edges, workers=args.workers))


def with_flags(config: Config, args: argparse.Namespace) -> Config:
    """The configuration with what the command line says instead. Raises `ConfigError` where they do not fit."""
    if config.redis == "memory" and args.edges > 1:
        raise ConfigError("`redis: memory` runs everything in one process: leave out --edges, or use another redis")
    changed = msgspec.structs.replace(
        config, listen=args.listen or config.listen, admin=Admin(listen=args.admin or config.admin.listen)
    )
    for _, problem in check(changed):
        raise ConfigError(problem)
    return changed


async def bring_up(config: Config, path: Path | None, data: Path, *, edges: int, workers: int) -> int:
    """Start everything, wait for the end, stop everything. Returns the exit code."""
    return await Up(config, path, data, edges=edges, workers=workers).run()


class Up:
    """One run of all of it. Made inside the event loop."""

    def __init__(self, config: Config, path: Path | None, data: Path, *, edges: int, workers: int) -> None:
        self._config, self._path, self._data = config, path, data
        self._edges, self._workers = edges, workers
        self._fleet = Fleet()
        self._signalled = asyncio.Event()
        self._names: list[str] = []
        """The stages that have workers, by name."""
        self._edge: RoleChild | TaskChild | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> int:
        """Start, wait for the end, stop. Returns the exit code; raises `LuthienError` if a server cannot start."""
        self._listen_for_signals()
        start, signalled = asyncio.create_task(self._start()), asyncio.create_task(self._signalled.wait())
        over: list[asyncio.Future[Any]] = [signalled, self._fleet.failed]
        try:
            await asyncio.wait([start, *over], return_when=asyncio.FIRST_COMPLETED)
            if start.done():
                start.result()
                await asyncio.wait(over, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await self._end([start, signalled])
        return fail(str(self._fleet.failed.result())) if self._fleet.failed.done() else 0

    async def _start(self) -> None:
        instance = await self._start_servers()
        write_instance(self._data, instance)
        await self._forget_published(instance)
        stages = load_stages(self._config.pipeline, policy_folder(self._path))
        self._names = [pipeline.name for pipeline in stages.pipelines]
        roles = make_roles(self._config, instance, self._data, self._names, edges=self._edges, workers=self._workers)
        for rank, child in roles:
            if child.name == "edge-0":
                self._edge = child
                if isinstance(child, RoleChild):
                    child.heard = self._hear
            await self._fleet.start(child, rank=rank)
        await self._until_ready(instance, [child.ready for _, child in roles])
        say(welcome(self._config, instance, self._data))

    async def _forget_published(self, instance: Instance) -> None:
        """A log of our own starts with what the file says, whatever was put over the admin listener before."""
        if self._config.redis == "embedded":
            bus = connect(instance.redis)
            try:
                await bus.drop_value(PIPELINE)
            finally:
                await bus.close()

    def _hear(self, name: str, event: dict[str, Any]) -> None:
        """Take what the first edge says: another pipeline may need workers that are not there."""
        if name == "pipeline_loaded":
            self._later(self._add_workers(event["names"]))
        elif name == "pipeline_in_force":
            say(f"another pipeline is in force: {' → '.join(event['stages']) or 'none'}")

    async def _add_workers(self, names: Sequence[str]) -> None:
        apart = sum(name != SHADOW for name in self._names) > 1
        for name in names:
            if name not in self._names and (apart or name == SHADOW):
                self._names.append(name)
                for rank, child in stage_workers(self._data, name, self._workers):
                    await self._fleet.start(child, rank=rank)

    def _on_again(self) -> None:
        """Read the configuration again: refused here if it is bad, else every process is told by the first edge."""
        try:
            load_checked(self._path)
        except ConfigError as error:
            say(f"the configuration is refused, what is in force stays:\n{error}")
            return
        if self._edge is not None:
            self._edge.read_again()

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _until_ready(self, instance: Instance, roles: list[asyncio.Event]) -> None:
        """Wait until every role has said that it is ready and the gateway takes calls; say why if it takes long."""
        slow = asyncio.get_running_loop().call_later(SLOW_START_S, say, f"slow to start; see {self._data / 'logs'}")
        try:
            for ready in roles:
                await ready.wait()
            while True:
                if not await why_not_ready(instance.listen):
                    return
                await asyncio.sleep(0.1)
        finally:
            slow.cancel()

    async def _start_servers(self) -> Instance:
        """Start the embedded servers that the configuration asks for, and say where everything is."""
        redis, database = self._config.redis, self._config.database
        if redis == "embedded":
            valkey = EmbeddedValkey(self._data / "valkey")
            say("starting Valkey, the log …")
            await self._fleet.start(ServerChild("valkey", valkey), rank=SERVERS_RANK)
            redis = valkey.url
        if database == "embedded":
            postgres = EmbeddedPostgres(self._data / "postgres")
            say(
                "starting Postgres, the record …"
                + ("" if postgres.place.data.exists() else " (the first time: some seconds)")
            )
            await self._fleet.start(ServerChild("postgres", postgres), rank=SERVERS_RANK)
            database = postgres.dsn
        return Instance(
            pid=os.getpid(),
            listen=self._config.listen,
            admin=self._config.admin.listen,
            redis=redis,
            database=database,
            config=str(self._path or ""),
        )

    async def _end(self, work: list[asyncio.Task[Any]]) -> None:
        if self._signalled.is_set():
            say("\nstopping: open calls may end; Ctrl-C again stops at once")
        for task in work:
            task.cancel()
        await asyncio.wait(work)
        await self._fleet.stop()

    def _listen_for_signals(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._on_signal)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._on_again)

    def _on_signal(self) -> None:
        if self._signalled.is_set():
            self._fleet.kill()
        self._signalled.set()


def say(text: str) -> None:
    """Print for people, at once also into a file."""
    console().print(text, markup=False)
    sys.stdout.flush()
