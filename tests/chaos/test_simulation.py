"""The real worker under a seeded scheduler: killed, paused and cut off at any step, with a server that forgets.

What must hold is in `World._check`: every call's lane equals a clean run, each effect has one value, each call ends.
The second part takes one rule away at a time and expects the simulation to find it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from luthien_stream.core.accept import TERMINALS, Intake, Outcome
from luthien_stream.core.digest import chain
from luthien_stream.core.program import Want
from luthien_stream.core.stagecall import StageCall
from luthien_stream.events.log import AnyEvent
from luthien_stream.worker.partition import Partition
from luthien_stream.worker.turns import Turns, TurnsLost
from tests.chaos.faulty import Broken, Faults
from tests.chaos.world import World

CRASH = Faults(kill=0.003, pause=0.002)
LOSS = Faults(restart=0.0015, late=0.01)
DOUBLE = Faults(kill=0.003, pause=0.0015, restart=0.0012, edge_kill=0.0005, edge_pause=0.001)
DISASTER = Faults(drop=0.005, late=0.005, lost=0.005, kill=0.004, restart=0.0012, saved_every=0.3)
PROFILES = {"crash": (CRASH, False), "loss": (LOSS, False), "double": (DOUBLE, True), "disaster": (DISASTER, True)}
"""Single faults: every call completes. Several at once: a call may end early, but never wrong."""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


def run(seed: int, profile: str) -> None:
    """Run one world. Raises `Broken`."""
    faults, may_abort = PROFILES[profile]
    World(seed, faults, may_abort=may_abort).go()


def run_all(seeds: Iterable[int], profile: str) -> None:
    """Run several worlds. Raises `Broken` with the seed of the first that breaks."""
    for seed in seeds:
        try:
            run(seed, profile)
        except Broken as broken:
            raise Broken(f"{profile}, seed {seed}: {broken}") from broken


@pytest.mark.parametrize("profile", PROFILES)
@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.integers(0, 2**32))
def test_lanes_hold_under_faults(profile: str, seed: int) -> None:
    """Whatever happens to workers, edges and server, no lane is wrong and every call ends."""
    run(seed, profile)


@pytest.mark.long
@pytest.mark.timeout(0)
@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("block", range(10))
def test_lanes_hold_under_faults_at_length(profile: str, block: int) -> None:
    """As above, a thousand seeds a profile."""
    run_all(range(100 * block, 100 * block + 100), profile)


# rules taken away
accept, resume = Intake.accept, Partition.resume


def accept_repeats(self: Intake, src: str, event: AnyEvent) -> Outcome:
    """Every copy of an edge's event is taken."""
    if src.startswith("edge:") and 0 <= event.n < self.count and not self.over:
        return "taken"
    return accept(self, src, event)


def accept_splices(self: Intake, src: str, event: AnyEvent) -> Outcome:
    """The digest of the lane before an event is not looked at."""
    outcome = accept(self, src, event)
    if outcome != "splice":
        return outcome
    self.digest, self.count, self.over = chain(event.prev, event), event.n + 1, type(event) in TERMINALS
    return "taken"


def decide_at_once(self: Partition, *acquired: Any) -> None:
    """Things are decided before the log's end was read."""
    resume(self, *acquired)
    self.rebuilt = True


def decide_unrecorded(self: StageCall, want: Want, value: Any, stage: str, now: int) -> None:
    """Results of effects are used and not recorded."""
    if not self.over and want.key not in self.intake.effects:
        self.intake.effects[want.key] = value
        self.program.decide(want.key, value)
        self._advance(now)


async def resend_nothing(self: Turns, known: int) -> None:
    """Turns that the server has forgotten are not sent again."""
    raise TurnsLost


def no_credit(self: Partition) -> bool:
    """Silent calls give their edge no credit."""
    return False


RULES: dict[str, tuple[type, str, Callable[..., Any], str]] = {
    "repeats are dropped": (Intake, "accept", accept_repeats, "crash"),
    "digests are checked": (Intake, "accept", accept_splices, "disaster"),
    "nothing is decided before the tail": (Partition, "resume", decide_at_once, "crash"),
    "effects are recorded": (StageCall, "decide", decide_unrecorded, "crash"),
    "turns are sent again": (Turns, "_resend", resend_nothing, "loss"),
    "silent calls give credit": (Partition, "credit_silent", no_credit, "crash"),
}


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_is_needed(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the rule some seed breaks: the simulation can fail."""
    owner, name, without, profile = RULES[rule]
    monkeypatch.setattr(owner, name, without)
    with pytest.raises(Broken):
        run_all(range(60), profile)
