"""One fake provider and three gateways before it for all clients; what came out is kept for the table."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from luthien_stream.embedded.place import discard_data
from tests.acceptance.gateway import Gateway
from tests.clients.catalogue import CLIENTS, INSTALLED, NODE, PROGRAMS
from tests.clients.runs import Runs

PIPELINES: dict[str, list[dict[str, Any]]] = {
    "no policy": [],
    "noop": [{"use": "noop"}],
    "changing": [
        {"use": "string_replace", "with": {"replace": [["alpha", "OMEGA"]]}},
        {"use": "block_tools", "with": {"rules": [{"tool": "delete_*"}, {"tool": "*", "arguments": "forbidden"}]}},
    ],
}
RESULTS = INSTALLED / "results.json"
_outcomes: dict[str, dict[str, dict[str, str]]] = {}


@pytest.fixture(scope="session")
def provider() -> Iterator[str]:
    """The base URL of a fake provider in a process of its own."""
    words = [sys.executable, "-m", "luthien_stream.testing.provider"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


def providers(url: str) -> dict[str, Any]:
    """The fake provider, as both vendors."""
    return {
        "anthropic": {"base_url": url, "format": "anthropic_messages", "passthrough": True},
        "openai": {"base_url": f"{url}/v1", "format": ["openai_chat", "openai_responses"], "passthrough": True},
    }


@pytest.fixture(scope="session")
def gateways(provider: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Gateway]]:
    """A gateway for each pipeline, as `up` starts it."""
    running: dict[str, Gateway] = {}
    try:
        for name, pipeline in PIPELINES.items():
            folder = tmp_path_factory.mktemp("gateway")
            running[name] = Gateway(folder, provider, pipeline=pipeline, database="none", providers=providers(provider))
            asyncio.run(running[name].start())
        yield running
    finally:
        for gateway in running.values():
            asyncio.run(gateway.stop())
            discard_data(gateway.data)


@pytest.fixture(scope="session")
def runs(provider: str, gateways: dict[str, Gateway], request: pytest.FixtureRequest) -> Iterator[Runs]:
    """Every run that a chosen test will ask for, begun."""
    chosen: dict[str, set[str]] = {}
    for item in request.session.items:
        call = getattr(item, "callspec", None)
        if call is not None and "scenario" in call.params:
            chosen.setdefault(call.params["client"].name, set()).add(call.params["scenario"])
    for program in PROGRAMS.glob("*.mjs"):
        if NODE.exists():
            shutil.copy(program, NODE.parent)  # beside the packages, where Node looks for them
    runs = Runs({"direct": provider, **{name: gateway.url for name, gateway in gateways.items()}})
    for client in CLIENTS:
        wanted = tuple(name for name in client.scenarios if name in chosen.get(client.name, ()))
        if wanted and client.needs.exists():
            runs.start(client, wanted)
    yield runs
    runs.close()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep how each scenario ended."""
    facts = dict(report.user_properties)
    if "client" in facts and (report.when == "call" or report.outcome != "passed"):
        why = str(report.longrepr)[-2000:] if report.failed else ""
        kept = _outcomes.setdefault(str(facts["client"]), {}).setdefault(str(facts["scenario"]), {})
        kept[str(facts["pipeline"])] = report.outcome + (f": {why}" if why else "")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write the results that `tests.clients.table` reads; those of scenarios that were not run stay."""
    if _outcomes and INSTALLED.exists():
        before = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        for client, scenarios in _outcomes.items():
            before.setdefault(client, {}).update(scenarios)
        RESULTS.write_text(json.dumps(before, indent=1))
