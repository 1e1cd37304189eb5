"""What policies ask for from outside while they are tried: a file's answers, a clock at once, a store in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from luthien_stream.core.program import Folded, Want
from luthien_stream.errors import ConfigError, LuthienError
from luthien_stream.events.log import AnyEvent, SampleRequested
from luthien_stream.formats.json import dump
from luthien_stream.testing.rig import call_log, reply


class NoEffect(LuthienError):
    """A policy asks for something that `--effects` does not have."""


class NoAnswer(LuthienError):
    """A policy asks a person, and nobody answers here."""


class Drawn(Struct, frozen=True):
    """A model's answer as it was recorded: the inputs that came then."""

    inputs: Sequence[AnyEvent]


class Answers:
    """What comes back for effects, for one case; `given` has results by key (`0/response/0`) or by kind.

    A list of a kind is used up in order. Values of policies are kept here, and folds of a session from call to call.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = given
        self._used: dict[str, int] = {}
        self._kept: dict[str, Any] = {}
        self._deltas: dict[str, list[Any]] = {}

    def result(self, want: Want) -> Any:
        """Return the result of an effect. Raises `NoAnswer` where a person is asked, `NoEffect` where none is given."""
        if want.key in self._given or want.kind in self._given:
            return _approval(self._pick(want.key, want.kind)) if want.kind == "ask" else self._pick(want.key, want.kind)
        match want.kind:
            case "timer":
                return want.args
            case "session":
                return {name: self._session(name) for name in want.args["names"]}
            case "kv":
                return self._keep(**want.args)
            case "ask":
                raise NoAnswer(reason_of(want.args))
        raise NoEffect(f"the policy asks for {want.kind!r} ({want.key}): {_hint(want.key, want.kind)}")

    def reply(self, requested: SampleRequested) -> Any:
        """Return what a model answers. Raises `NoEffect` where that is not given."""
        key, why = requested.key, requested.why
        if key not in self._given and why not in self._given:
            what = "a judge" if why == "judge" else "another answer"
            raise NoEffect(f"the policy asks {requested.model!r} for {what} ({key}): {_hint(key, why)}")
        return self._pick(key, why)

    def fold(self, folds: Sequence[Folded]) -> None:
        """Keep what a call adds to its session."""
        for one in folds:
            self._deltas.setdefault(one.name, []).append(one.delta)

    def _pick(self, key: str, kind: str) -> Any:
        if key in self._given:
            return self._given[key]
        found = self._given[kind]
        if not isinstance(found, list):
            return found
        at = self._used.get(kind, 0)
        self._used[kind] = at + 1
        if at >= len(found):
            raise NoEffect(f"the policy asks for {kind!r} more often than --effects has it ({len(found)} times)")
        return found[at]

    def _session(self, name: str) -> Any:
        return {"base": 0, "state": None, "deltas": self._deltas.get(name, [])}

    def _keep(self, op: str, name: str, value: Any = None, amount: int = 1, **_: Any) -> Any:
        if op == "set":
            self._kept[name] = value
        elif op == "add":
            self._kept[name] = self._kept.get(name, 0) + amount
        return self._kept.get(name)


def reply_inputs(requested: SampleRequested, given: Any) -> Sequence[AnyEvent]:
    """The inputs that an edge would write for a reply: text, an answer's own JSON, or an object to be JSON text."""
    if isinstance(given, Drawn):
        return given.inputs
    if isinstance(given, str) or requested.why == "judge":
        return reply(requested, given if isinstance(given, str) else dump(given).decode())
    return call_log(requested.format, [dump(given)], streamed=False)[1:]


def _approval(value: Any) -> Any:
    return {"decision": value, "by": "--effects"} if isinstance(value, str) else value


def _hint(key: str, kind: str) -> str:
    return f'say what comes back with --effects FILE.json, {{"{kind}": ...}} or {{"{key}": ...}}'


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
