"""Log lines: readable or JSON, and never a credential."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from luthien_stream.logging import MARKER, configure, redact


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Leave logging as it was."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    structlog.reset_defaults()
    logging.captureWarnings(False)
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"api_key": "canary", "x-api-key": "canary", "input_tokens": 3, "call": "c"}, None),
        ({"headers": [{"Authorization": "canary"}, {"Cookie": "canary"}]}, None),
        ("failed with sk-canary-0123456789 there", f"failed with {MARKER} there"),
        ("Authorization: Bearer canary.canary", f"Authorization: {MARKER}"),
        ("redis://:canary@localhost/0", f"redis://{MARKER}localhost/0"),
        (ValueError("Bearer canary"), MARKER),
        (7, 7),
    ],
)
def test_credentials_are_cut_out(value: object, expected: object) -> None:
    """By the name of their key, and by how they look."""
    redacted = redact(value)
    assert "canary" not in str(redacted)
    assert expected is None or redacted == expected


def test_counts_of_tokens_are_no_credentials() -> None:
    """What only sounds alike stays."""
    facts = {"max_tokens": 5, "token_limit": "7", "key_name": "me", "stage": "main@0"}
    assert redact(facts) == facts


def test_lines_are_json_where_nobody_reads_them(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With role, level and time; libraries' warnings come out the same way, tracebacks too."""
    monkeypatch.setenv("LUTHIEN_LOG", "json")
    configure("edge")
    log = structlog.get_logger()
    log.info("call_started", call="c", password="canary")
    log.debug("not_shown")
    logging.getLogger("library").warning("canary sk-%s", "canary123")
    try:
        raise ValueError("Bearer canary")
    except ValueError:
        log.exception("failed")
    output = capsys.readouterr().err
    lines = [json.loads(line) for line in output.splitlines()]
    assert [line["event"] for line in lines] == ["call_started", f"canary {MARKER}", "failed"]
    assert all(line["role"] == "edge" and line["timestamp"].endswith("Z") for line in lines)
    assert "ValueError: [redacted]" in lines[2]["exception"]


def test_lines_are_readable_on_request(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Colours only on a terminal."""
    monkeypatch.setenv("LUTHIEN_LOG", "console")
    configure("up")
    structlog.get_logger().warning("child_ended", child="worker-0")
    line = capsys.readouterr().err
    assert "child_ended" in line
    assert "child=worker-0" in line
    assert "\x1b" not in line
