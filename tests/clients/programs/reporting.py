"""What every program here does: run scenarios by name and print what the client reported, one JSON object a line."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterable
from typing import Any

OWN_HEADERS = {"x-luthien-call-id", "x-accel-buffering", "date", "server"}
OWN_HEADERS |= {"transfer-encoding", "content-length", "connection"}
"""Headers in which a gateway may differ: its mark, a word to proxies, and how the connection is kept."""
WEATHER = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def main(scenarios: dict[str, Callable[[], Any]]) -> None:
    """Run those that the command line names."""
    for name in sys.argv[1:]:
        try:
            report = scenarios[name]()
        except Exception as error:  # noqa: BLE001 (what the client raises is what is reported)
            report = failure(error)
        print(json.dumps({"scenario": name, "report": plain(report)}), flush=True)  # noqa: T201


def failure(error: BaseException) -> dict[str, Any]:
    """An exception as a report."""
    facts = {"raised": type(error).__name__, "message": str(error)}
    for name in ("status_code", "code", "body", "request_id"):
        facts[name] = getattr(error, name, None)
    response = getattr(error, "response", None)
    if response is not None:
        facts["headers"] = headers(response.headers.items())
    return facts


def plain(value: Any) -> Any:
    """The value with models as dictionaries."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def headers(items: Iterable[tuple[str, str]]) -> dict[str, str]:
    """An answer's headers but those in which a gateway may differ."""
    return {name.lower(): value for name, value in items if name.lower() not in OWN_HEADERS}


def bytes_of(response: Any) -> dict[str, Any]:
    """A streamed answer as it came over the wire."""
    raw = b"".join(response.iter_bytes())
    found = {"size": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
    return {"status": response.status_code, "headers": headers(response.headers.items()), **found}
