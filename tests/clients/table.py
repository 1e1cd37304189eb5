"""Write what came out of `make test-clients` into docs/clients.md, between its two marks."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tests.clients.catalogue import CLIENTS, ROOT, Client
from tests.clients.conftest import PIPELINES, RESULTS

PAGE = ROOT / "docs" / "clients.md"
BEGIN, END = "<!-- results -->", "<!-- end of results -->"
Outcomes = dict[str, dict[str, str]]


def rows(results: dict[str, Outcomes]) -> Iterator[str]:
    """The table's lines."""
    yield "| client | version | scenarios | " + " | ".join(PIPELINES) + " |"
    yield "|---|---|---|" + "---|" * len(PIPELINES)
    for client in CLIENTS:
        outcomes = results.get(client.name, {})
        cells = [cell(client, outcomes, pipeline) for pipeline in PIPELINES]
        yield f"| {client.name} | {client.packages} | {len(client.scenarios)} | {' | '.join(cells)} |"


def cell(client: Client, outcomes: Outcomes, pipeline: str) -> str:
    """How a client did under one pipeline: how many passed, and the names of what did not."""
    found = {name: outcomes.get(name, {}).get(pipeline, "not run") for name in client.scenarios}
    passed = sum(outcome == "passed" for outcome in found.values())
    rest: dict[str, list[str]] = {}
    for name, outcome in found.items():
        if outcome != "passed":
            rest.setdefault(outcome.partition(":")[0], []).append(name)
    return "; ".join([f"{passed} passed", *(f"{outcome}: {', '.join(names)}" for outcome, names in rest.items())])


def main() -> None:
    """Replace the lines between the marks."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    before, _, rest = PAGE.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text("\n".join([before + BEGIN, *rows(results), END]) + after)


if __name__ == "__main__":
    main()
