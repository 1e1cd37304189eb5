"""What is in force: the stages that a call passes, in order, and the one that runs beside the calls."""

from __future__ import annotations

from functools import cached_property
from hashlib import sha256

from msgspec import Struct

from luthien_stream.core.lens import Request
from luthien_stream.events.log import Phase
from luthien_stream.policy.matching import Facts
from luthien_stream.policy.pipeline import Pipeline, objection


class External(Struct, frozen=True):
    """A stage whose workers are not ours, in any language: they serve the key `<name>@<version>`."""

    name: str
    version: str
    phases: tuple[Phase, ...]
    fails_open: bool = False
    needs_history: bool = False

    @property
    def stage(self) -> str:
        """The key of the stage."""
        return f"{self.name}@{self.version}"

    def narrowed(self, call: Facts) -> External:
        """It takes part in every call."""
        return self

    def objection(self, request: Request) -> str | None:
        """Say why a request cannot be served under this stage; None if it can."""
        return objection(request, self.phases)


Stage = Pipeline | External


class Stages(Struct, frozen=True, dict=True):
    """All stages of a configuration. `shadow` is None if nothing runs beside the calls."""

    enforcing: tuple[Stage, ...] = ()
    shadow: Pipeline | None = None

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.enforcing or self.shadow)

    @classmethod
    def of(cls, pipeline: Pipeline | None) -> Stages:
        """One enforcing stage, or none."""
        return cls() if pipeline is None else cls((pipeline,))

    @cached_property
    def version(self) -> str:
        """Of what decides the answers: empty without policies, the one stage's own, or a SHA-256 (hex) over all."""
        versions = [stage.version if isinstance(stage, Pipeline) else stage.stage for stage in self.enforcing]
        if len(versions) > 1:
            return sha256(" ".join(versions).encode()).hexdigest()
        return "".join(versions)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """What any enforcing policy takes part in."""
        every: tuple[Phase, ...] = ("request", "response")
        return tuple(phase for phase in every if any(phase in stage.phases for stage in self.enforcing))

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of the enforcing stages that do anything."""
        return tuple(stage.stage for stage in self.enforcing if stage.phases)

    @property
    def fails_open(self) -> bool:
        """True if calls may pass without the stages: every enforcing policy says so."""
        return all(stage.fails_open for stage in self.enforcing)

    @property
    def needs_history(self) -> bool:
        """True if an enforcing policy needs whole conversations."""
        return any(stage.needs_history for stage in self.enforcing)

    @property
    def pipelines(self) -> tuple[Pipeline, ...]:
        """Every stage that workers of this package run."""
        ours = tuple(stage for stage in self.enforcing if isinstance(stage, Pipeline))
        return ours if self.shadow is None else (*ours, self.shadow)

    def served_by(self, name: str) -> tuple[Pipeline, ...]:
        """What a worker for the stage of this name runs; without a name all that is enforced."""
        if name:
            return tuple(pipeline for pipeline in self.pipelines if pipeline.name == name)
        return tuple(pipeline for pipeline in self.pipelines if pipeline is not self.shadow)

    def objection(self, request: Request, call: Facts) -> str | None:
        """Say why a request cannot be served; None if it can."""
        objections = (stage.narrowed(call).objection(request) for stage in self.enforcing)
        return next((said for said in objections if said is not None), None)
