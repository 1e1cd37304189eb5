"""What a client may report through a gateway, given what it reports at the provider itself."""

from __future__ import annotations

import json
from typing import Any

CHANGED = ("alpha", "OMEGA")
"""What the changing pipeline replaces."""


def check(scenario: str, pipeline: str, direct: Any, got: Any) -> None:
    """Raises `AssertionError` where the client can tell that the gateway is there, or that a policy failed to act."""
    if "cut stream" in scenario:
        assert "raised" in direct, direct
        assert "raised" in got, "a cut answer was taken for a whole one"
    elif pipeline != "changing":
        assert got == direct
    elif "denied tools" in scenario:
        check_denied(direct, got)
    elif "sha256" in direct:
        assert (got["status"], got["headers"]) == (direct["status"], direct["headers"])
    elif "final" in direct:
        assert got.get("final", got) == replaced(direct["final"])
    else:
        assert got == direct


def replaced(value: Any) -> Any:
    """The value as the changing pipeline delivers it."""
    return json.loads(json.dumps(value, ensure_ascii=False).replace(*CHANGED))


def check_denied(direct: Any, got: Any) -> None:
    """The denied call is gone, the client took the turn as ended, and the next turn worked."""
    assert "final" in got, got
    assert DENIED in json.dumps(direct["final"])
    assert DENIED not in json.dumps(got["final"])
    first, second = got["final"]
    assert reasons(first) & {"end_turn", "stop", "completed"}
    assert reasons(second)


DENIED = "delete_files"


def reasons(answer: Any) -> set[str]:
    """Why an answer ended, in any dialect."""
    found = {answer.get(name) for name in ("stop_reason", "status", "finish_reason", "finishReason")}
    found |= {choice.get("finish_reason") for choice in answer.get("choices") or ()}
    return {reason for reason in found if isinstance(reason, str)}
