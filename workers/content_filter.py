"""Mask, flag or stop at words and expressions in answers, wherever the provider cut them.

Words match whatever their case, and not inside other words. Expressions are RE2's, which take time linear in the text;
a match has at most `max_len` characters, and so much text is held. Words are held only while one may have begun.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import ClassVar

import msgspec

from luthien_stream.policy import Context, Event, Events, Policy
from luthien_stream.policy.api import STOPPED, Hold
from luthien_stream.text.carriers import Carriers, Found, Others, carried
from luthien_stream.text.filter import Action, Expression, FilterRule, FilterScan, Words

LONGEST = 1000


class Rule(msgspec.Struct, forbid_unknown_fields=True):
    """What to look for, `words` or `pattern`, and what to do: put `replacement` there, end the answer, or record it."""

    name: str
    words: list[str] = []
    pattern: str = ""
    max_len: int = 100
    action: Action = "mask"
    replacement: str = "[removed]"

    def __post_init__(self) -> None:
        if bool(self.words) == bool(self.pattern):
            raise ValueError("a rule has either `words` or a `pattern`")
        if not 1 <= self.max_len <= LONGEST:
            raise ValueError(f"`max_len` must be 1 to {LONGEST} characters")
        self.made()

    def made(self) -> FilterRule:
        """The rule, compiled. Raises `ValueError` where that cannot be."""
        finds = Words(self.words) if self.words else Expression(self.pattern, self.max_len)
        return FilterRule(self.name, finds, self.action, self.replacement)


class ContentFilter(Policy, dict=True):
    """`rules: [{name, words or pattern, action: mask|stop|flag}, …]`. `others` says what becomes of thinking and tool
    arguments: `pass` (as they are), `map` (the rules hold for them too), `drop`."""

    hold: ClassVar[Hold] = "tail"

    rules: list[Rule]
    others: Others = "pass"
    shown: str = STOPPED

    def __post_init__(self) -> None:
        self._rules = [rule.made() for rule in self.rules]
        self._withhold = any(rule.action != "flag" for rule in self.rules)

    def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Apply the rules to all that carries text."""
        found, flagged = Found(), Found()

        def note(rule: FilterRule) -> None:
            if rule.action == "flag":
                flagged.note(rule.name)
            elif rule.action == "mask":
                found.note(rule.name)
            else:
                found.stop = rule.name

        def record() -> None:
            found.record(ctx)
            flagged.record(ctx, "score", 1.0)

        carriers = Carriers(lambda: FilterScan(self._rules, note), found, self.others, withhold=self._withhold)
        return carried(events, carriers, found, record, self.shown)
