"""Session names and call ids."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import pytest

from luthien_stream.core.accept import made_ms
from luthien_stream.edge.ids import new_call, uuid7
from luthien_stream.edge.session import LONGEST, session_of


def _session(headers: Mapping[str, str] | None = None, **body: Any) -> str:
    return session_of(headers or {}, body.get)


@pytest.mark.parametrize(
    ("headers", "body", "name"),
    [
        ({"x-claude-code-session-id": "a", "x-session-id": "b"}, {"metadata": {"user_id": "c"}}, "a"),
        ({"x-session-id": "b"}, {"metadata": {"user_id": "user_1_account_2_session_c"}}, "c"),
        ({"x-session-id": "b"}, {"metadata": {"user_id": '{"device_id":"d","session_id":"c"}'}}, "c"),
        ({"x-session-id": "b"}, {"metadata": {"user_id": "plain"}}, "plain"),
        ({"x-session-id": "b", "session-id": "d"}, {"metadata": {"user_id": 7}}, "b"),
        ({"session-id": "d"}, {"metadata": "odd", "prompt_cache_key": "e"}, "d"),
        ({}, {"prompt_cache_key": "e"}, "e"),
        ({}, {"prompt_cache_key": 5}, ""),
        ({}, {"metadata": {"user_id": "{broken"}}, "{broken"),
        ({}, {}, ""),
    ],
)
def test_the_first_name_given_counts(headers: dict[str, str], body: dict[str, Any], name: str) -> None:
    """Headers and body fields, in a fixed order; odd types name nothing."""
    assert _session(headers, **body) == name


def test_what_is_nested_too_deep_is_a_name_like_any_other() -> None:
    """Nobody's request fails of it."""
    deep = '{"a":' * 50_000 + "1" + "}" * 50_000
    assert session_of({}, {"metadata": {"user_id": deep}}.get) == deep[:200]


def test_a_sessions_name_is_bounded() -> None:
    """A client cannot make the record's index large."""
    assert len(_session({"x-session-id": "x" * 10_000})) == LONGEST


def test_call_ids_are_uuid7_and_sort_by_time() -> None:
    """The time in an id is what the readers of the log take it for."""
    early, late = uuid7(1_700_000_000_000_000_000, b"\xff" * 8), uuid7(1_700_000_000_001_000_000, b"\0" * 8)
    assert early < late
    assert made_ms(early) == 1_700_000_000_000
    made = uuid.UUID(new_call())
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
