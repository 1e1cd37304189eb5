"""Which way a new call goes, whatever comes into force meanwhile."""

from __future__ import annotations

import pytest

from luthien_stream.bus.memory import MemoryBus
from luthien_stream.edge.admission import Admission
from luthien_stream.edge.refusals import NotNow
from luthien_stream.policy.catalogue import find
from luthien_stream.policy.pipeline import Bound, Pipeline
from luthien_stream.policy.stages import Stages


def stages(on_error: str) -> Stages:
    """One stage."""
    return Stages.of(Pipeline((Bound("noop", find("noop")(), on_error),)))  # type: ignore[arg-type]


async def test_a_call_is_bypassed_only_if_its_own_stages_say_so() -> None:
    """Not because others do that came into force while the log was asked for workers."""
    closed, opened = stages("closed"), stages("open")
    admission = Admission(MemoryBus(), [], opened)
    assert await admission.admit(opened.keys, fails_open=opened.fails_open) == "bypassed"
    with pytest.raises(NotNow):
        await admission.admit(closed.keys, fails_open=closed.fails_open)
