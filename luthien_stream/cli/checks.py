"""What `doctor` looks at: each check is small, stands alone, and says what to do where something is wrong."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Literal

from msgspec import Struct

from luthien_stream.activity.store import Store
from luthien_stream.bus import connect
from luthien_stream.bus.port import Bus
from luthien_stream.bus.redis.settings import server_settings
from luthien_stream.cli.pipeline_check import loads
from luthien_stream.cli.probe import why_not_ready
from luthien_stream.cli.welcome import pipeline as pipeline_text
from luthien_stream.cli.welcome import url
from luthien_stream.config.check import is_loopback
from luthien_stream.config.instance import Instance, upstream_socket
from luthien_stream.config.load import describe, examine, policy_folder
from luthien_stream.config.model import Config, split_address
from luthien_stream.config.targets import needs_litellm
from luthien_stream.core.partition import PARTITIONS
from luthien_stream.embedded.binaries import find_postgres, find_valkey
from luthien_stream.embedded.place import EmbeddedError
from luthien_stream.errors import LuthienError
from luthien_stream.policy.catalogue import load_stages
from luthien_stream.policy.stages import Stages

State = Literal["ok", "warn", "fail"]
LATE_MS = 30_000
IN_MEMORY = "a task of `up` (redis: memory), which cannot be looked at from outside; `up` ends if it fails"


class Finding(Struct, frozen=True):
    """One line of the report."""

    check: str
    state: State
    message: str


class Patient(Struct, frozen=True):
    """What is examined. `instance` is None if nothing runs."""

    data: Path
    path: Path | None
    config: Config | None
    instance: Instance | None


Findings = AsyncIterator[tuple[State, str]]


async def programs(patient: Patient) -> Findings:
    """Python and the embedded servers' programs."""
    yield "ok", f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    config = patient.config or Config()
    for wanted, find in ((config.redis == "embedded", find_valkey), (config.database == "embedded", find_postgres)):
        if wanted:
            try:
                yield "ok", str(find())
            except EmbeddedError as error:
                yield "fail", str(error)


async def configuration(patient: Patient) -> Findings:
    """The configuration and its policies."""
    config, problems = examine(patient.path, os.environ, loads(patient.path))
    for problem in problems:
        yield "fail", describe(patient.path, problem)
    if config is not None:
        yield "ok", f"{patient.path or 'no luthien.yaml, the defaults'}; policies: {pipeline_text(config)}"


async def files(patient: Patient) -> Findings:
    """Who can read what only its owner should, and who shares that owner."""
    for name in ("", "admin-token", "instance.json"):
        file = patient.data / name
        if file.exists() and file.stat().st_mode & 0o077:
            yield "fail", f"{file} can be read by others: chmod go= {file}"
    if patient.instance is not None and is_loopback(split_address(patient.instance.listen)[0]):
        yield (
            "warn",
            "an agent that runs as the same user as the gateway can read its token and stop it: "
            "run one of the two as another user if the agent is not to be trusted",
        )


async def log(patient: Patient) -> Findings:
    """Redis: reachable, fast, and set up so that it keeps what it is given."""
    instance = _running(patient)
    if instance.redis == "memory":
        yield "warn", "`redis: memory` keeps nothing over a restart, and all runs in one process: for trying out only"
        return
    begin = monotonic()
    settings = await server_settings(instance.redis)
    size = f"{settings.used >> 20} MiB of {settings.limit >> 20 or 'unlimited'} MiB"
    yield "ok", f"version {settings.version}, {1000 * (monotonic() - begin):.0f} ms, {size}"
    if settings.policy != "noeviction":
        yield "fail", f"it may drop calls in progress: set maxmemory-policy to noeviction (it is {settings.policy})"
    if not settings.append_only:
        yield "warn", "a restart forgets everything: set appendonly to yes"
    if settings.limit and settings.used > 0.8 * settings.limit:
        yield "warn", "nearly full: new calls will be refused; raise maxmemory or see whether activity keeps up"
    elif not settings.limit:
        yield "warn", "no maxmemory: set one, so that it says that it is full before the machine does"


async def record(patient: Patient) -> Findings:
    """Postgres: reachable, and the schema there."""
    instance = _running(patient)
    if instance.database == "none":
        yield "warn", "`database: none`: no record is kept"
        return
    store = Store(instance.database)
    try:
        async with asyncio.timeout(15), store.transaction() as connection:
            (row,) = await connection.fetch("SELECT current_setting('server_version') AS version")
            yield "ok", f"Postgres {row['version']}"
    finally:
        await store.close()


async def edge(patient: Patient) -> Findings:
    """The gateway: alive, and ready to take calls."""
    listen = _running(patient).listen
    why_not = await why_not_ready(listen)
    if why_not:
        yield "fail", f"{url(listen)} is not ready: {why_not}; see logs/edge-0.log in the data folder"
    else:
        yield "ok", f"{url(listen)} is ready"


async def upstream(patient: Patient) -> Findings:
    """The litellm server, where a route needs it: it listens."""
    _running(patient)
    if patient.config is None or not needs_litellm(patient.config):
        yield "ok", "no route needs litellm"
        return
    socket = upstream_socket(patient.data)
    try:
        async with asyncio.timeout(5):
            _, writer = await asyncio.open_unix_connection(socket)
    except (OSError, TimeoutError):
        yield "fail", f"nothing listens on {socket}: see logs/upstream.log, or start `luthien-stream upstream`"
        return
    writer.close()
    yield "ok", f"litellm listens on {socket}"


async def workers(patient: Patient) -> Findings:
    """Policy workers: there, with this pipeline's version, and every partition owned."""
    stages = _stages(patient)
    if _running(patient).redis == "memory":
        yield "ok", IN_MEMORY
        return
    async with _bus(patient) as bus:
        alive = await bus.alive("worker")
        watching = () if stages.shadow is None else (stages.shadow.stage,)
        if not stages.keys + watching:
            yield "ok", f"{len(alive)} alive; no policies, so calls need none"
        for stage in stages.keys + watching:
            async for finding in _workers_of(bus, stage, alive, "warn" if stage in watching else "fail"):
                yield finding


async def _workers_of(bus: Bus, stage: str, alive: Mapping[str, Mapping[str, str]], without: State) -> Findings:
    fitting = [name for name, facts in alive.items() if stage in facts.get("stages", "").split(",")]
    if not fitting:
        name = stage.partition("@")[0]
        lost = "calls are refused" if without == "fail" else "nobody watches"
        yield without, f"no worker runs {stage}: {lost}. Start `luthien-stream worker --stage {name}`"
        return
    free = [number for number in range(PARTITIONS) if not await bus.lease_holder(f"{stage}:{number}")]
    yield "ok", f"{len(fitting)} alive for {stage}"
    if free:
        yield "warn", f"partitions without an owner: {free}; workers take them within seconds, look again"


async def activity(patient: Patient) -> Findings:
    """The recorder: how far it is behind, and what it could not process."""
    instance = _running(patient)
    if instance.redis == "memory":
        yield "ok", IN_MEMORY
        return
    async with _bus(patient) as bus:
        streams = await bus.streams() if instance.database != "none" else []
        lags = [await bus.lag(stream) for stream in streams]
        entries, seconds = sum(lag.behind for lag in lags), max([lag.oldest_ms for lag in lags], default=0) / 1000
        behind = f"{entries:,} {'entry' if entries == 1 else 'entries'} and {seconds:.1f} s behind the log"
        if late := [lag for lag in lags if lag.oldest_ms > LATE_MS]:
            each = ", ".join(f"{lag.stream} by {lag.behind:,} and {lag.oldest_ms / 1000:.0f} s" for lag in late)
            yield "warn", f"{behind} ({each}): see logs/activity.log in the data folder, and the database"
        else:
            yield "ok", f"keeps up: {behind}" if lags else "keeps up"
        if await bus.dead_letters(count=1):
            yield "warn", "events that could not be processed are kept: luthien-stream dead-letter"


CHECKS: dict[str, Callable[[Patient], Findings]] = {
    check.__name__: check for check in (programs, configuration, files, log, record, edge, upstream, workers, activity)
}
NEED_INSTANCE = ("log", "record", "edge", "upstream", "workers", "activity")


async def examine_all(patient: Patient, only: list[str]) -> AsyncIterator[Finding]:
    """The findings of all checks, or of `only` these; what fails to answer is a finding too."""
    for name, check in CHECKS.items():
        if name not in (only or CHECKS) or (patient.instance is None and name in NEED_INSTANCE):
            continue
        try:
            async for state, message in check(patient):
                yield Finding(name, state, message)
        except (LuthienError, TimeoutError, OSError) as error:
            yield Finding(name, "fail", str(error) or "no answer in time")


def _running(patient: Patient) -> Instance:
    assert patient.instance is not None
    return patient.instance


def _stages(patient: Patient) -> Stages:
    uses = patient.config.pipeline if patient.config else ()
    return load_stages(uses, policy_folder(patient.path))


@asynccontextmanager
async def _bus(patient: Patient) -> AsyncIterator[Bus]:
    bus = connect(_running(patient).redis)
    try:
        async with asyncio.timeout(15):
            yield bus
    finally:
        await bus.close()
