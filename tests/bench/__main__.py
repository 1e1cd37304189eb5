"""The measurement: all systems up at once, one load at a time, rounds interleaved. This process makes the load."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec
import uvloop
from msgspec.structs import replace

from tests.bench import load, report, systems
from tests.bench.figures import FIRST, FULL, LOADS, PACED, WHOLE, Figures
from tests.bench.load import Load
from tests.bench.processes import cpu_seconds, memory, started
from tests.bench.systems import System

NAMES = ("direct", "passthrough", "relay", "policy", "record", "shadow", "converted", "beside", "litellm")
EPILOG = """\
systems: direct (no proxy), passthrough (aiohttp + uvloop, no parsing), relay (the pipeline without a policy), policy
(one edge, one worker with a policy that reads every piece of text), record (the same with Postgres), shadow
(policy, and a watcher beside that is a hundred times slower), converted (relay, to a provider of another format),
beside (relay, while four other calls go over litellm, which are not measured),
litellm (LiteLLM's proxy, if it is installed; the variable LITELLM may name the command of another environment).
"""


def main() -> int:
    """Measure and print; exit code 1 if an answer of ours was not what the provider sent."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="one short round, about a minute and a half")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the tables")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, metavar="SYSTEM", help="measure only these")
    args = parser.parse_args()
    figures, measured = uvloop.run(measure(args.only, 1 if args.quick else args.rounds, quick=args.quick))
    if args.json:
        print(msgspec.json.encode(report.as_json(figures)).decode())  # noqa: T201
    else:
        print("\n".join(report.lines(figures, measured)))  # noqa: T201
    ours = [figures.answers.get(name, (0, 0)) for name in ("relay", "policy", "record")]
    return int(any(answers != exact for answers, exact in ours) or any(figures.errors.get(n) for n in NAMES[2:6]))


async def measure(names: Sequence[str], rounds: int, *, quick: bool) -> tuple[Figures, list[System]]:
    """Start what is named, measure it in interleaved rounds, stop it."""
    figures = Figures()
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="luthien-bench-")))
        provider, _ = await stack.enter_async_context(started("luthien_stream.testing.provider"))
        up = [one async for one in _started(stack, names, provider, folder)]
        for system in up:
            say(f"{system.name}: warming up")
            await load.run(system.url, replace(FIRST, times=10), system.prefix)
        for number in range(rounds):
            for one in shortened() if quick else LOADS:
                for system in up:
                    say(f"round {number + 1} of {rounds}: {one.name} {system.name}")
                    await _sample(figures, system, one)
        figures.memory = {system.name: memory(system.pid) for system in up}
    return figures, up


def shortened() -> tuple[Load, ...]:
    """The loads of `--quick`."""
    return (
        replace(FULL, model="text-100+timed", seconds=1.5),
        replace(PACED, model="text-40@20+timed"),
        replace(FIRST, times=20),
        replace(WHOLE, seconds=1),
    )


async def _started(
    stack: contextlib.AsyncExitStack, names: Sequence[str], provider: str, folder: Path
) -> AsyncIterator[System]:
    ways = {
        "direct": lambda: systems.direct(provider),
        "passthrough": lambda: systems.passthrough(provider),
        "relay": lambda: systems.pipeline("relay", "no policy", provider, folder, policy=False, record=False),
        "policy": lambda: systems.pipeline(
            "policy", "a policy that reads", provider, folder, policy=True, record=False
        ),
        "shadow": lambda: systems.pipeline(
            "shadow", "a slow watcher beside", provider, folder, policy=True, record=False, watched=True
        ),
        "converted": lambda: systems.converted(provider, folder),
        "beside": lambda: systems.beside(provider, folder),
        "record": lambda: systems.pipeline("record", "policy and record", provider, folder, policy=True, record=True),
    }
    for name in names:
        if name in ways:
            say(f"{name}: starting")
            yield await stack.enter_async_context(ways[name]())
        elif command := systems.litellm_command():
            say("litellm: starting")
            yield await stack.enter_async_context(systems.litellm(provider, folder, command))
        else:
            say("litellm: skipped, it is not installed (set LITELLM to the command of an environment that has it)")


async def _sample(figures: Figures, system: System, one: Load) -> None:
    before = cpu_seconds(system.pid)
    async with load.beside(system.url, system.beside):
        sample = await load.run(system.url, one, system.prefix)
    await asyncio.sleep(0.2)  # what is written behind the answer belongs to it
    after = cpu_seconds(system.pid)
    figures.add(system.name, one, sample, {role: after[role] - before.get(role, 0.0) for role in after})


def say(text: str) -> None:
    """Progress, beside the result."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
