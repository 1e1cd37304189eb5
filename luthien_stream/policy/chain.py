"""Policies in a row: what one puts out, the next is given. Sans-io; whoever feeds it decides when."""

from __future__ import annotations

from collections.abc import Sequence

from luthien_stream.core.program import Want
from luthien_stream.policy.context import CallFacts, Shared
from luthien_stream.policy.driver import Driver
from luthien_stream.policy.item import Down
from luthien_stream.policy.pipeline import Pipeline


class Chain:
    """The response phase of one call: items go in by `push`, and come out at the `sink` in order."""

    __slots__ = ("_drivers", "push")

    def __init__(
        self, pipeline: Pipeline, call: CallFacts, shared: Shared, sink: Down, prefix: str = "", first: int = 0
    ) -> None:
        """`prefix` is that of the keys of their effects, `first` the index of the first policy."""
        drivers: list[Driver] = []
        self.push: Down = sink
        """Give the next item to the first policy."""
        for index in reversed(range(len(pipeline.policies))):
            bound = pipeline.policies[index]
            if "response" in bound.phases:
                drivers.append(Driver(bound, first + index, call, shared, self.push, prefix))
                self.push = drivers[-1].push
        self._drivers = drivers
        """Last first, the order in which they start and go on."""

    def start(self) -> None:
        """Run every policy to where it wants its first event; what a later one says first, comes first."""
        for driver in self._drivers:
            driver.start()

    def decided(self) -> None:
        """Go on where the result of an effect has come."""
        for driver in self._drivers:
            driver.decided()

    def wants(self) -> Sequence[Want]:
        """The effects that policies wait for."""
        return [want for driver in self._drivers for want in driver.wants()]

    def close(self) -> None:
        """Let go of all generators."""
        for driver in self._drivers:
            driver.close()
