"""Every failure of the gateway has a type here; the class docstring is its default message and says what to do."""

from __future__ import annotations

from typing import Any


class LuthienError(Exception):
    """Something failed in luthien-stream."""

    def __init__(self, message: str | None = None, **facts: Any) -> None:
        self.facts = facts
        super().__init__(message or (type(self).__doc__ or "").strip())


class ClientError(LuthienError):
    """The request cannot be served as it was sent."""

    status = 400


class UpstreamError(LuthienError):
    """The provider failed."""

    status = 502


class BusError(LuthienError):
    """The log (Redis) failed."""

    status = 503


class BusUnavailable(BusError):
    """The log (Redis) cannot be reached: nothing was written. Check `redis:` in the configuration and the server."""


class BusAmbiguous(BusError):
    """The log (Redis) did not answer in time: the command may or may not have been executed."""


class BusFull(BusError):
    """The log (Redis) is full (maxmemory, noeviction). Raise maxmemory or wait until calls have ended."""


class BodyMissing(BusError):
    """A stored request body is no longer in the log."""


class NoNumber(LuthienError):
    """What is kept under this name is no whole number: count under another name."""


class HoldUnknown(LuthienError):
    """No question to a person has this id: `luthien-stream approvals list` lists them."""


class Fenced(BusError):
    """Another worker owns this partition now."""


class PolicyError(LuthienError):
    """A policy failed."""

    status = 503


class Nondeterminism(PolicyError):
    """A policy run again over the same log gave another result. Take time, randomness and IO from `ctx` only."""


class ConfigError(LuthienError):
    """The configuration cannot be used."""


class PackError(LuthienError):
    """A stream entry cannot be decoded."""
