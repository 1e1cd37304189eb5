"""What a client may report through a gateway, given what it reports at the provider itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

CHANGED = ("alpha", "OMEGA")
"""What the changing pipeline replaces."""
DENIED = "delete_files"
"""A tool that it denies."""
RAN = "The tool says:"
"""What the model answers to a tool's result: without one, nothing was run."""
SHOWN = "This tool call is not allowed here."
"""What the policy tells the agent instead."""
NOTHING = "(nothing)"


def check(scenario: str, pipeline: str, direct: Any, got: Any) -> None:
    """Raises `AssertionError` where the client can tell that the gateway is there, or that a policy failed to act."""
    if scenario.endswith("cut stream") and "retry" not in scenario:
        assert "raised" in direct, direct
        assert "raised" in got, "a cut answer was taken for a whole one"
    elif pipeline != "changing":
        same(direct, got)
    elif "denied tools" in scenario:
        check_denied(direct, got)
    elif "denied command" in scenario:
        assert "raised" not in got, got
        assert SHOWN not in json.dumps(direct["final"]), direct
        assert SHOWN in json.dumps(got["final"]), got
        assert RAN not in json.dumps(got["final"]), got
    elif "sha256" in direct:
        same(direct["headers"], got["headers"])
    elif "final" in direct:
        same(replaced(direct["final"]), got.get("final", got))
    else:
        same(direct, got)


def same(expected: Any, got: Any) -> None:
    """Raises `AssertionError` with every difference."""
    found = list(differences("", expected, got))
    assert not found, "\n".join(found[:20])


def differences(path: str, expected: Any, got: Any) -> Iterator[str]:
    """Where two reports differ."""
    if isinstance(expected, dict) and isinstance(got, dict):
        for name in sorted(expected.keys() | got.keys()):
            yield from differences(f"{path}.{name}", expected.get(name, NOTHING), got.get(name, NOTHING))
    elif isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        for number, (left, right) in enumerate(zip(expected, got, strict=True)):
            yield from differences(f"{path}[{number}]", left, right)
    elif expected != got:
        yield f"{path}: at the provider {expected!r:.300}, through the gateway {got!r:.300}"


def replaced(value: Any) -> Any:
    """The value as the changing pipeline delivers it."""
    return json.loads(json.dumps(value, ensure_ascii=False).replace(*CHANGED))


def check_denied(direct: Any, got: Any) -> None:
    """The denied call is gone, the client took the turn as ended, and the next turn worked."""
    assert "final" in got, got
    assert DENIED in json.dumps(direct["final"]), direct
    assert DENIED not in json.dumps(got["final"]), got
    first, second = got["final"]
    assert reasons(first) & {"end_turn", "stop", "completed"}, f"not a turn that ended: {first}"
    assert reasons(second), f"no answer: {second}"


def reasons(answer: Any) -> set[str]:
    """Why an answer ended, in any dialect."""
    found = {answer.get(name) for name in ("stop_reason", "status", "finish_reason", "finishReason")}
    found |= {choice.get("finish_reason") for choice in answer.get("choices") or ()}
    return {reason for reason in found if isinstance(reason, str)}
