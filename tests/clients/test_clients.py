"""Real clients cannot tell that the gateway is there; with a policy they get answers that they accept."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.clients.catalogue import CLIENTS, Client
from tests.clients.compare import check
from tests.clients.conftest import PIPELINES
from tests.clients.runs import DEADLINE_S, Runs

pytestmark = [pytest.mark.clients, pytest.mark.timeout(3 * DEADLINE_S)]
ALL = [(client, scenario) for client in CLIENTS for scenario in client.scenarios]


@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize(("client", "scenario"), ALL, ids=[f"{client.name}: {name}" for client, name in ALL])
def test_a_client_reports_what_it_reports_without_a_gateway(
    client: Client,
    scenario: str,
    pipeline: str,
    runs: Runs,
    record_property: Callable[[str, object], None],
) -> None:
    """The measure: equal reports with no policy and with `noop`; the policy's effect, and nothing else, with one."""
    for name, value in (("client", client.name), ("scenario", scenario), ("pipeline", pipeline)):
        record_property(name, value)
    if not client.needs.exists():
        pytest.skip(f"{client.packages} is not installed: make clients")
    direct = runs.report(client, "direct", scenario)
    check(scenario, pipeline, direct, runs.report(client, pipeline, scenario))
