"""A pipeline: policies in order, each with its failure rule. Its version is a digest over code and configuration."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from functools import cached_property
from hashlib import sha256
from typing import Literal

import msgspec
from msgspec import Struct

from luthien_stream.config.model import MAIN, Match
from luthien_stream.core.lens import Request
from luthien_stream.events.answer import Kinds
from luthien_stream.events.log import Phase
from luthien_stream.policy.api import Policy
from luthien_stream.policy.folding import Fold
from luthien_stream.policy.matching import Facts, takes_part


def name_of(policy: type[Policy]) -> str:
    """The name in records where no file gave one: the class's name in snake case."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", policy.__name__).lower()


def phases_of(policy: type[Policy]) -> tuple[Phase, ...]:
    """The phases that a policy takes part in: the methods it defines itself."""
    phases: tuple[Phase, ...] = ("request", "response")
    return tuple(phase for phase in phases if getattr(policy, phase) is not getattr(Policy, phase))


def objection(request: Request, phases: Collection[Phase]) -> str | None:
    """Say why a request cannot be served where policies take part in these phases; None if it can."""
    if request.choices > 1 and "response" in phases:
        return f"n={request.choices} is not served while policies read the answers; ask for n=1"
    return None


class Bound(Struct, frozen=True, dict=True):
    """A policy in its place. `timeout_s` bounds each of its effects, seconds; `version` digests code and fields."""

    name: str
    policy: Policy
    on_error: Literal["closed", "open"] = "closed"
    timeout_s: float = 30.0
    version: str = ""
    match: Match = Match()
    idle: bool = False
    """It takes no part in the call."""

    @cached_property
    def phases(self) -> tuple[Phase, ...]:
        """The phases that the policy takes part in."""
        return () if self.idle else phases_of(type(self.policy))


class Pipeline(Struct, frozen=True, dict=True):
    """All policies of a stage, in order."""

    policies: tuple[Bound, ...]
    name: str = MAIN

    @classmethod
    def of(cls, policies: Policy | Iterable[Policy]) -> Pipeline:
        """Bind policies with the default rules (closed, 30 s), as tests do."""
        several = (policies,) if isinstance(policies, Policy) else policies
        return cls(tuple(Bound(name_of(type(policy)), policy) for policy in several))

    @cached_property
    def version(self) -> str:
        """SHA-256 (hex) over everything that decides what the pipeline puts out."""
        facts = [(b.name, b.version, b.on_error, b.timeout_s, b.match) for b in self.policies]
        return sha256(msgspec.json.encode([self.name, facts])).hexdigest()

    @cached_property
    def stage(self) -> str:
        """The key of the stage that runs this version."""
        return f"{self.name}@{self.version[:8]}"

    @cached_property
    def phases(self) -> tuple[Phase, ...]:
        """What the stage runs: each phase that any policy takes part in."""
        every: tuple[Phase, ...] = ("request", "response")
        return tuple(phase for phase in every if any(phase in bound.phases for bound in self.policies))

    @cached_property
    def sees(self) -> Kinds:
        """The kinds of events that any policy is shown."""
        return frozenset().union(*(b.policy.sees for b in self.policies if "response" in b.phases))

    def narrowed(self, call: Facts) -> Pipeline:
        """Return the pipeline as a call meets it: policies that it does not match keep their place and do nothing."""
        if not self._chooses:
            return self
        policies = (
            bound if takes_part(bound.match, call) else msgspec.structs.replace(bound, idle=True)
            for bound in self.policies
        )
        return msgspec.structs.replace(self, policies=tuple(policies))

    @cached_property
    def _chooses(self) -> bool:
        return any(bound.match != Match(tool=bound.match.tool) for bound in self.policies)

    @property
    def asks_models(self) -> bool:
        """True if a policy asks a judge or draws samples."""
        return any(bound.policy.needs & {"judge", "sample"} for bound in self.policies)

    @property
    def draws_samples(self) -> bool:
        """True if a policy draws samples."""
        return any("sample" in bound.policy.needs for bound in self.policies)

    @property
    def folds(self) -> Mapping[int, tuple[str, Fold]]:
        """What policies keep over the calls of a session: name and fold, by the policy's index."""
        folds = {index: (bound.name, bound.policy.fold) for index, bound in enumerate(self.policies) if not bound.idle}
        return {index: (name, fold) for index, (name, fold) in folds.items() if fold is not None}

    @property
    def needs_history(self) -> bool:
        """True if a policy needs whole conversations."""
        return any("history" in bound.policy.needs for bound in self.policies)

    @property
    def fails_open(self) -> bool:
        """True if calls may pass without the stage: every policy says so."""
        return all(bound.on_error == "open" for bound in self.policies)

    def objection(self, request: Request) -> str | None:
        """Say why a request cannot be served under this pipeline; None if it can."""
        return objection(request, self.phases)
