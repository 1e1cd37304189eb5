"""One role in this process: joins the instance, serves until it is told to stop, and never outlives `up`."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec
import structlog

from luthien_stream.cli.child import PARENT
from luthien_stream.cli.common import config_path, data_folder, find_instance, run_async
from luthien_stream.config.instance import Instance
from luthien_stream.config.load import load_config
from luthien_stream.config.model import Admin, Config
from luthien_stream.embedded.launch import die_with_parent
from luthien_stream.errors import LuthienError
from luthien_stream.logging import configure

log = structlog.get_logger()


Serve = Callable[..., Awaitable[None]]
"""A role's `serve`: takes configuration and instance, and by name `data`, `ready`, `stop`, for some `again`."""


def run_role(args: argparse.Namespace, name: str, serve: Serve, *, reads_again: bool = False) -> int:
    """Serve until SIGTERM or SIGINT, drain, and return 0. `reads_again`: at SIGHUP its event `again` is set."""
    configure(name)
    end_with_parent()
    data = data_folder(args)
    instance = find_instance(args)
    config = as_running(load_config(config_path(args, instance), os.environ), instance)
    data.mkdir(mode=0o700, parents=True, exist_ok=True)

    async def until_stopped() -> None:
        stop = asyncio.Event()
        stop_on_signals(stop)
        role = partial(serve, again=again_on_signal()) if reads_again else serve
        await role(config, instance, data=data, ready=lambda: log.info("ready"), stop=stop)

    try:
        run_async(until_stopped())
    except LuthienError:
        raise
    except Exception:
        log.exception("role_failed")
        return 1
    return 0


def as_running(config: Config, instance: Instance) -> Config:
    """The configuration with the addresses and servers that the instance was really started with."""
    return msgspec.structs.replace(
        config,
        listen=instance.listen,
        admin=Admin(listen=instance.admin),
        redis=instance.redis,
        database=instance.database,
    )


def again_on_signal() -> asyncio.Event:
    """Return an event that SIGHUP sets."""
    again = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, again.set)
    return again


def stop_on_signals(stop: asyncio.Event) -> None:
    """Set `stop` on SIGTERM and SIGINT."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


def end_with_parent(number: int = signal.SIGKILL) -> None:
    """Get signal `number` when the process that started this one ends, however it ends; nothing for a person's."""
    parent = os.environ.pop(PARENT, "")
    if not parent:
        return
    if sys.platform == "linux":
        die_with_parent(int(parent), number)
    else:
        threading.Thread(target=_watch_parent, args=(int(parent), number), daemon=True).start()


def _watch_parent(parent: int, number: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), number)
