"""How labelled cases came out: recall, false alarms, and which cases those are."""

from __future__ import annotations

from collections import Counter
from typing import Any

from msgspec import Struct, field

from luthien_stream.cli.try_cases import Case
from luthien_stream.cli.try_run import Outcome

ACTED = frozenset({"rewrite", "hold", "deny", "stop"})
"""Verdicts that do something about a case; a policy that fails is wrong about any case."""
_LISTED = 20


class Summary(Struct):
    """Counts over all cases. `missed` and `false_alarms` are ids."""

    verdicts: Counter[str] = field(default_factory=Counter)
    to_deny: int = 0
    to_allow: int = 0
    missed: list[Any] = field(default_factory=list)
    false_alarms: list[Any] = field(default_factory=list)
    failed: list[Any] = field(default_factory=list)
    """Cases on which a policy failed."""
    errors: list[Any] = field(default_factory=list)
    """Lines that are no case, and cases that could not be tried; they count in no rate."""
    ms: float = 0.0

    def add(self, outcome: Outcome, case: Case | None) -> None:
        """Count one case; None for a line that is none."""
        self.verdicts[outcome.verdict] += 1
        self.ms += outcome.ms
        if case is None or outcome.verdict == "error":
            self.errors.append(outcome.id)
            return
        if outcome.verdict == "failed":
            self.failed.append(outcome.id)
        if case.label == "deny":
            self.to_deny += 1
            if outcome.verdict not in ACTED:
                self.missed.append(outcome.id)
        elif case.label == "allow":
            self.to_allow += 1
            if outcome.verdict in ACTED or outcome.verdict == "failed":
                self.false_alarms.append(outcome.id)

    @property
    def recall(self) -> float | None:
        """Share of the cases to deny that were acted on, None without such cases."""
        return 1 - len(self.missed) / self.to_deny if self.to_deny else None

    @property
    def false_alarm_rate(self) -> float | None:
        """Share of the cases to allow that were acted on, None without such cases."""
        return len(self.false_alarms) / self.to_allow if self.to_allow else None

    def problems(self, min_recall: float | None, max_false_alarms: float | None) -> list[str]:
        """What was expected and is not so, in words."""
        found = [f"{len(self.errors)} of {self.total} cases could not be tried"] if self.errors else []
        recall, alarms = self.recall, self.false_alarm_rate
        if min_recall is not None and (recall is None or recall < min_recall):
            found.append(f"recall is {_percent(recall)}, less than {_percent(min_recall)}")
        if max_false_alarms is not None and (alarms is None or alarms > max_false_alarms):
            found.append(f"false alarms are {_percent(alarms)}, more than {_percent(max_false_alarms)}")
        return found

    @property
    def total(self) -> int:
        """All cases and lines."""
        return self.verdicts.total()

    def as_object(self) -> dict[str, Any]:
        """The summary as `--summary` writes it."""
        return {
            "cases": self.total,
            "verdicts": dict(self.verdicts),
            "to_deny": self.to_deny,
            "denied": self.to_deny - len(self.missed),
            "recall": self.recall,
            "missed": self.missed,
            "to_allow": self.to_allow,
            "false_alarm_count": len(self.false_alarms),
            "false_alarm_rate": self.false_alarm_rate,
            "false_alarms": self.false_alarms,
            "failed": self.failed,
            "errors": self.errors,
            "ms": round(self.ms, 3),
        }

    def text(self) -> str:
        """The summary for people."""
        verdicts = ", ".join(f"{count} {verdict}" for verdict, count in self.verdicts.most_common())
        lines = [f"{self.total} cases in {self.ms:.0f} ms: {verdicts or 'none'}"]
        if self.to_deny:
            caught = self.to_deny - len(self.missed)
            lines.append(f"recall {_percent(self.recall)} ({caught} of {self.to_deny}){_listed('missed', self.missed)}")
        if self.to_allow:
            rate, count = _percent(self.false_alarm_rate), len(self.false_alarms)
            lines.append(f"false alarms {rate} ({count} of {self.to_allow}){_listed('they are', self.false_alarms)}")
        if self.failed:
            lines.append(f"policies failed on {len(self.failed)}{_listed('these', self.failed)}")
        return "\n".join(lines)


def _percent(share: float | None) -> str:
    return "unknown (no such labels)" if share is None else f"{share:.2%}"


def _listed(word: str, ids: list[Any]) -> str:
    if not ids:
        return ""
    more = f", and {len(ids) - _LISTED} more" if len(ids) > _LISTED else ""
    return f"; {word}: {', '.join(map(str, ids[:_LISTED]))}{more}"
