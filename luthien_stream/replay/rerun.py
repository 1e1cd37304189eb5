"""One stage of a recorded call, run again: the rebuild of a worker, without a worker."""

from __future__ import annotations

from typing import Any, cast

from msgspec import Struct, field

from luthien_stream.core.digest import digest_of
from luthien_stream.core.doom import Doom
from luthien_stream.core.program import Program
from luthien_stream.core.stagecall import StageCall
from luthien_stream.events.log import AnyEvent, EffectRecorded
from luthien_stream.replay.feed import Given, Input


class Rerun(Struct):
    """What came out."""

    outputs: list[AnyEvent] = field(default_factory=list)
    """Numbered and chained as the worker did."""
    asked: dict[str, str] = field(default_factory=dict)
    """The effects that were wanted: key to the digest of what was asked for."""
    unanswered: list[str] = field(default_factory=list)
    """Of these the ones that the run still waits for, with their kind."""
    unasked: list[str] = field(default_factory=list)
    """Effects on record that nobody asked for."""
    over: bool = False


def rerun(call: str, program: Program, stage: str, given: Given) -> Rerun:
    """Feed a fresh program what the stage was given, and return what it puts out. Raises what the program raises."""
    return _Run(call, program, stage, given).run()


class _Run:
    def __init__(self, call: str, program: Program, stage: str, given: Given) -> None:
        self._call = StageCall(call, program)
        self._src, self._stage, self._given = f"stage:{stage}", stage, given
        self._pending = list(given.effects)
        self._result = Rerun()
        cut: Any = {} if given.cut is None else given.cut.value
        self._at, self._most = int(cut.get("at", -1)), int(cut.get("inputs", -1))

    def run(self) -> Rerun:
        call = self._call
        for one in self._given.inputs:
            self._use_late(one.entry)
            if self._is_cut(one):
                continue
            call.feed(one.src, one.event, one.event.time)
            self._use_wanted()
        self._use_late(None)
        self._use_wanted()
        self._end_early()
        result = self._result
        result.outputs, result.over = call.outputs, call.over
        result.unasked = [self._effect(one).key for one in self._pending]
        if not call.over:
            result.unanswered = [f"{want.key} ({want.kind})" for want in call.wants()]
        return result

    def _is_cut(self, one: Input) -> bool:
        """Whether the call had been ended before this input was taken."""
        call = self._call
        if self._given.cut is None:
            return False
        if one.src.startswith("sample:") or self._most < 0:
            return call.n >= self._at > 0
        return call.intake.count >= self._most

    def _use_wanted(self) -> None:
        """Hand in recorded results as soon as they are asked for: what comes early changes nothing."""
        call, again = self._call, True
        while again and not call.over:
            again = False
            wants = {want.key: want for want in call.program.wants()}
            for key, want in wants.items():
                self._result.asked.setdefault(key, digest_of(want.kind, want.args))
            for one in self._pending:
                effect = self._effect(one)
                if effect.key in wants and not _is_late(effect):
                    self._hand_in(one)
                    again = True
                    break

    def _use_late(self, upto: int | None) -> None:
        """That a drawn answer came too late counts where it lies in the log."""
        for one in list(self._pending):
            if _is_late(self._effect(one)) and (upto is None or one.entry < upto):
                self._hand_in(one)

    def _hand_in(self, one: Input) -> None:
        self._pending.remove(one)
        effect = self._effect(one)
        self._call.feed(self._src, effect, effect.time)

    def _end_early(self) -> None:
        cut = self._given.cut
        if cut is None or self._call.over:
            return
        value = cast("dict[str, Any]", cut.value)
        doom = Doom(value["reason"], value["message"], bool(value.get("gently", True)), value.get("by", ""))
        self._call.cut(doom, self._stage, cut.time)

    @staticmethod
    def _effect(one: Input) -> EffectRecorded:
        return cast("EffectRecorded", one.event)


def _is_late(effect: EffectRecorded) -> bool:
    return effect.kind == "sample"
