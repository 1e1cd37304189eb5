"""Runs of clients: directly at the fake provider, or through a gateway before it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from luthien_stream.clients.catalogue import CLIENTS as SETUPS
from luthien_stream.clients.launch import changes
from luthien_stream.clients.model import Gateway
from tests.clients.catalogue import Client

AT_ONCE = 4
DEADLINE_S = 1200
QUIET = {
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_TELEMETRY": "1",
    "DISABLE_ERROR_REPORTING": "1",
    "DISABLE_AUTOUPDATER": "1",
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_SHARE": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LANGSMITH_TRACING": "false",
    "DO_NOT_TRACK": "1",
    "CI": "1",
}
"""No client may wait for a network that is not there."""
MODELS = ("text-8", "unicode", "flaky-503", "silent-12", "act")
Reports = dict[str, Any]


class Runs:
    """Runs each (client, target) once, in the background, and keeps what it reported by scenario."""

    def __init__(self, targets: dict[str, str]) -> None:
        """`targets`: a name to a base URL without `/v1`."""
        self._targets = targets
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self._started: dict[tuple[str, str], Future[Reports]] = {}

    def start(self, client: Client, scenarios: tuple[str, ...]) -> None:
        """Begin the runs of a client at every target."""
        for target, url in self._targets.items():
            if (client.name, target) not in self._started:
                run = self._pool.submit(run_client, client, target, url, scenarios)
                self._started[client.name, target] = run

    def report(self, client: Client, target: str, scenario: str) -> Any:
        """What the client reported. Raises `AssertionError` with its output if it reported nothing."""
        reports = self._started[client.name, target].result()
        assert scenario in reports, f"{client.name} at {target} said nothing of it:\n{reports.get('')}"
        return reports[scenario]

    def close(self) -> None:
        """Wait for the runs."""
        self._pool.shutdown(cancel_futures=True)


def quiet(set: dict[str, str]) -> dict[str, str]:
    """opencode learns the fake provider's models beside what it is told to set."""
    text = set.get("OPENCODE_CONFIG_CONTENT")
    if text is None:
        return set
    config = json.loads(text)
    for provider in config["provider"].values():
        provider["models"] = {name: {} for name in MODELS}
    compatible = {**config["provider"]["openai"], "npm": "@ai-sdk/openai-compatible"}
    config["provider"]["compatible"] = compatible
    return {**set, "OPENCODE_CONFIG_CONTENT": json.dumps(config)}


def run_client(client: Client, target: str, url: str, scenarios: tuple[str, ...]) -> Reports:
    """Run the client's program in an empty home; the reports by scenario, its other output under the empty name."""
    with tempfile.TemporaryDirectory(prefix="client-") as home:
        done = subprocess.run(
            [*client.command, *scenarios],
            env=environment(client, target, url, Path(home)),
            cwd=home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )
    reports: Reports = {"": done.stderr[-3000:]}
    # Not `splitlines`: JSON may have U+2028 as it is.
    for line in done.stdout.split("\n"):
        if line.startswith('{"scenario"'):
            said = json.loads(line)
            reports[said["scenario"]] = said["report"]
    return reports


def environment(client: Client, target: str, url: str, home: Path) -> dict[str, str]:
    """The environment of a run: what `luthien-stream setup` says for this client, and a key of its own."""
    key = "".join(c if c.isalnum() else "-" for c in f"sk-{client.name}-{target}")
    setup = SETUPS[client.setup](Gateway(url))
    return {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "HOME": str(home),
        "OPENAI_API_KEY": key,
        "ANTHROPIC_API_KEY": key,
        "SETUP_ARGUMENTS": json.dumps(setup.arguments),
        **QUIET,
        **quiet(changes(setup, {}, url, "")),
        **client.environ,
    }
