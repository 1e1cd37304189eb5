"""When a failed provider is asked again: the vendors' SDKs' rules, a function of answer, clock and chance."""

from __future__ import annotations

import pytest

from luthien_stream.edge.retry import PATIENCE_S, backoff_s, helps_again, helps_elsewhere, pause_s

NOW = 1_700_000_000.0
LATER = "Tue, 14 Nov 2023 22:13:27 GMT"
"""Seven seconds after `NOW`."""


@pytest.mark.parametrize(("status", "again", "elsewhere"), [
    (200, False, False), (400, False, False), (401, False, False), (404, False, True), (408, False, True),
    (429, True, True), (500, True, True), (503, True, True), (529, True, True),
])  # fmt: skip
def test_which_status_is_worth_another_try(status: int, again: bool, elsewhere: bool) -> None:
    """A request that is at fault itself is sent once."""
    assert (helps_again(status), helps_elsewhere(status)) == (again, elsewhere)
    assert (pause_s(0, status, (), NOW, 0.0) is not None) == again


def test_waits_double_and_chance_takes_up_to_a_quarter_off() -> None:
    """Bounded, also for an attempt that nobody makes."""
    assert [backoff_s(attempt, 0.0) for attempt in range(6)] == [0.5, 1, 2, 4, 8, 8]
    assert backoff_s(2, 1.0) == 1.5
    assert backoff_s(10_000, 0.0) == 8


@pytest.mark.parametrize(("headers", "pause"), [
    ({"retry-after": "3"}, 3.0),
    ({"retry-after": "0"}, 0.0),
    ({"retry-after": "0.25"}, 0.25),
    ({"retry-after-ms": "40", "retry-after": "3"}, 0.04),
    ({"retry-after-ms": "soon", "retry-after": "3"}, 3.0),
    ({"retry-after": LATER}, 7.0),
    ({"retry-after": "Tue, 14 Nov 2023 22:13:27"}, 7.0),
    ({"retry-after": "Tue, 14 Nov 2000 22:13:27 GMT"}, 0.0),
    ({"retry-after": "soon"}, 0.5),
    ({"retry-after": "nan"}, 0.5),
    ({"retry-after": "-1"}, 0.5),
    ({"retry-after": str(PATIENCE_S + 1)}, None),
    ({"x-should-retry": "false"}, None),
    ({"x-should-retry": " False ", "retry-after": "1"}, None),
    ({"x-should-retry": "true"}, 0.5),
])  # fmt: skip
def test_what_the_provider_asks_for_is_done_within_bounds(headers: dict[str, str], pause: float | None) -> None:
    """Its own words count over the schedule; what is too long is the client's to wait for."""
    assert pause_s(0, 429, tuple(headers.items()), NOW, 0.0) == pause
