"""Block tool calls: by a glob over the tool's name, and a regular expression over its arguments.

The expression is searched for in the arguments as written and in every string in them, so that JSON escapes do not
hide anything. Arguments that are no JSON count as a match.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

import msgspec

from luthien_stream.policy import Allow, Context, Deny, ToolCall, ToolGate, Verdict


class Rule(msgspec.Struct, forbid_unknown_fields=True):
    """Both must match: `tool`, a glob, and `arguments`, a regular expression, empty for any."""

    tool: str
    arguments: str = ""

    def __post_init__(self) -> None:
        try:
            re.compile(self.arguments)
        except re.error as error:
            raise ValueError(f"`arguments` is no regular expression: {error}") from error


class BlockTools(ToolGate):
    """`rules: [{tool: Bash, arguments: "rm -rf"}, ...]`; the agent is told `shown`, whatever the rule."""

    rules: list[Rule]
    shown: str = "This tool call is not allowed here."

    async def check(self, call: ToolCall, ctx: Context) -> Verdict:
        """Deny what any rule names."""
        for rule in self.rules:
            if fnmatchcase(call.name, rule.tool) and _is_match(rule.arguments, call):
                return Deny(f"rule {rule.tool!r} {rule.arguments!r}", self.shown)
        return Allow()


def _is_match(expression: str, call: ToolCall) -> bool:
    if not expression or re.search(expression, call.arguments):
        return True
    try:
        return any(re.search(expression, text) for text in _strings(call.args))
    except msgspec.DecodeError:
        return call.kind != "custom"


def _strings(value: Any) -> Iterator[str]:
    """All strings in `value`, names of fields too, and every number as it is written."""
    if isinstance(value, dict):
        for name, one in value.items():
            yield name
            yield from _strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one)
    else:
        yield str(value)
