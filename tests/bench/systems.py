"""The systems that are measured side by side: each is started once and stays up for all rounds."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import shutil
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from msgspec import Struct

from tests.acceptance.gateway import Gateway, free_port
from tests.bench.processes import started

READER = {"use": "read_text"}
WATCHER = {"use": "slow_watch", "mode": "shadow"}
WORKERS = Path(__file__).parent / "workers"
LITELLM_SETTINGS = {
    "LITELLM_LOG": "ERROR",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",  # no key to check: its cheapest way
}


class System(Struct, frozen=True):
    """What is measured: where it listens, and the process whose family does the work (None: no proxy at all)."""

    name: str
    says: str
    url: str
    pid: int | None
    prefix: str = ""
    """Put before the model's name."""
    beside: str = ""
    """A model that is asked for all the while, without being measured."""


@contextlib.asynccontextmanager
async def direct(provider: str) -> AsyncIterator[System]:
    """No proxy: what the others' latencies are counted from."""
    yield System("direct", "no proxy", provider, None)


@contextlib.asynccontextmanager
async def passthrough(provider: str) -> AsyncIterator[System]:
    """The yardstick for CPU."""
    async with started("tests.bench.passthrough", provider) as (url, pid):
        yield System("passthrough", "aiohttp + uvloop, no parsing", url, pid)


@contextlib.asynccontextmanager
async def pipeline(
    name: str, says: str, provider: str, folder: Path, *, policy: bool, record: bool, watched: bool = False
) -> AsyncIterator[System]:
    """One edge, one worker, the embedded Valkey with its append-only file; with `record` Postgres and activity.

    `watched`: a slow policy runs beside, in a worker of its own.
    """
    folder = folder / name
    if policy:
        shutil.copytree(WORKERS, folder / "workers", ignore=shutil.ignore_patterns("__pycache__"))
    keys: Mapping[str, Any] = {} if record else {"database": "none"}
    gateway = Gateway(folder, provider, pipeline=[READER] * policy + [WATCHER] * watched, **keys)
    async with gateway:
        yield System(name, says, gateway.url, gateway.up.pid)


@contextlib.asynccontextmanager
async def converted(provider: str, folder: Path) -> AsyncIterator[System]:
    """The pipeline without a policy, for models whose provider speaks another format than the client."""
    there = {"base_url": provider, "format": "anthropic_messages", "api_key": "sk-bench"}
    models = [{"name": "*", "to": "there/*"}]
    async with Gateway(
        folder / "converted", provider, database="none", providers={"there": there}, models=models
    ) as gateway:
        yield System("converted", "no policy, the provider speaks another format", gateway.url, gateway.up.pid)


@contextlib.asynccontextmanager
async def beside(provider: str, folder: Path) -> AsyncIterator[System]:
    """Relayed calls while others go over litellm, in the process that `up` starts for them."""
    native, other = ({"api_base": f"{provider}/v1", "api_key": "sk-bench", "model": m} for m in ("openai/*", "groq/*"))
    entries = [
        {"model_name": "*", "litellm_params": native},
        {"model_name": "beside/*", "litellm_params": other},
    ]
    async with Gateway(folder / "beside", provider, database="none", model_list=entries) as gateway:
        yield System("beside", "no policy, litellm beside", gateway.url, gateway.up.pid, beside="beside/text-40@20")


def litellm_command() -> list[str] | None:
    """How to start LiteLLM's proxy; None where it is not installed. `LITELLM` names another environment's command."""
    if named := os.environ.get("LITELLM") or shutil.which("litellm"):
        return [named]
    return None if importlib.util.find_spec("litellm") is None else ["litellm"]


@contextlib.asynccontextmanager
async def litellm(provider: str, folder: Path, command: list[str]) -> AsyncIterator[System]:
    """LiteLLM's proxy with one worker and nothing but the route."""
    config, port = _litellm_config(folder, provider), free_port()
    words = [*command, "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "litellm.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *words, stdout=log, stderr=log, env={**os.environ, **LITELLM_SETTINGS}
        )
    try:
        await _answers(f"http://127.0.0.1:{port}/health/liveliness", process)
        yield System("litellm", "LiteLLM's proxy, one worker", f"http://127.0.0.1:{port}", process.pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


def _litellm_config(folder: Path, provider: str) -> Path:
    params = {"model": "openai/*", "api_base": f"{provider}/v1", "api_key": "sk-bench"}
    path = folder / "litellm.yaml"
    path.write_text(yaml.safe_dump({"model_list": [{"model_name": "*", "litellm_params": params}]}))
    return path


async def _answers(url: str, process: asyncio.subprocess.Process) -> None:
    """Wait until a server answers. Raises `TimeoutError` after 90 s, `RuntimeError` if it ends before."""
    async with asyncio.timeout(90), aiohttp.ClientSession() as session:
        while process.returncode is None:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(url) as answer:
                    if answer.status == 200:
                        return
            await asyncio.sleep(0.2)
    raise RuntimeError("LiteLLM's proxy ended before it served")
