"""What policies ask for from outside while they are tried: a file's answers, a clock at once, a store in memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from luthien_stream.core.program import Want
from luthien_stream.errors import ConfigError, LuthienError


class NoEffect(LuthienError):
    """A policy asks for something that `--effects` does not have."""


class NoAnswer(LuthienError):
    """A policy asks a person, and nobody answers here."""


class Answers:
    """Results of effects for one case. Raises `NoAnswer` where a person is asked, `NoEffect` for anything else."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        """`given` by key (`0/response/0`) or by kind (`judge`); a list of a kind is used up in order."""
        self._given = given
        self._used: dict[str, int] = {}

    def __call__(self, want: Want) -> Any:
        """Return the result of an effect."""
        if want.key in self._given:
            return self._given[want.key]
        if want.kind in self._given:
            return self._next(want)
        if want.kind == "timer":
            return want.args
        if want.kind == "ask":
            raise NoAnswer(reason_of(want.args))
        raise NoEffect(
            f"the policy asks for {want.kind!r} ({want.key}): say what comes back with --effects FILE.json, "
            f'{{"{want.kind}": ...}} or {{"{want.key}": ...}}'
        )

    def _next(self, want: Want) -> Any:
        found = self._given[want.kind]
        if not isinstance(found, list):
            return found
        at = self._used.get(want.kind, 0)
        self._used[want.kind] = at + 1
        if at >= len(found):
            raise NoEffect(f"the policy asks for {want.kind!r} more often than --effects has it ({len(found)} times)")
        return found[at]


def read_effects(path: Path | None) -> Mapping[str, Any]:
    """The results in a JSON file, none without one. Raises `ConfigError`."""
    if path is None:
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise ConfigError(f"{path} must be a JSON object, by an effect's key or kind: {error}") from error


def reason_of(args: Any) -> str:
    """Why a person is asked, as the hold says."""
    subject = args.get("subject", args) if isinstance(args, dict) else {}
    return str(subject.get("reason", "")) if isinstance(subject, dict) else ""
