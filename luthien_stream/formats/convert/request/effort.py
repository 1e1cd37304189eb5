"""How much a model thinks: OpenAI's words and Anthropic's budgets; and what each Claude and GPT can take."""

from __future__ import annotations

import re

from luthien_stream.formats.convert.request.conversation import Effort

BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 32768, "max": 49152}
"""Tokens for an effort, where a model takes budgets only."""
LEAST_BUDGET = 1024
"""Anthropic takes no smaller one."""
_LEVELS = ((2048, "low"), (8192, "medium"))
"""Up to so many tokens are this effort; more is `high`."""
_CLAUDE = re.compile(r"claude-(?:[a-z]+-)*(\d+)(?:[-.@](\d{1,2}))?(?!\d)")
_PLAIN_GPT = re.compile(r"(?:^|[/.:])(?:chatgpt-|gpt-3|gpt-4)")


def level_of(effort: Effort) -> str | None:
    """The effort in OpenAI's words, None for the model's own."""
    if effort.level is not None or effort.budget is None:
        return effort.level
    return next((level for most, level in _LEVELS if effort.budget <= most), "high")


def never_thinks(model: str) -> bool:
    """True for OpenAI's models that refuse every word about thinking (GPT-4o and before)."""
    return _PLAIN_GPT.search(model) is not None


def adapts(model: str) -> bool:
    """True for Claude models that choose their own budget (`adaptive`, with an effort): from 4.6 on."""
    return _claude(model) >= (4, 6)


def takes_system_turns(model: str) -> bool:
    """True for Claude models that take `system` among the messages: from 4.8 on."""
    return _claude(model) >= (4, 8)


def _claude(model: str) -> tuple[int, int]:
    """The version in a model's name; of a Claude without one the newest, of other models none."""
    found = _CLAUDE.search(model)
    if found is None:
        return (99, 0) if "claude" in model else (0, 0)
    return int(found[1]), int(found[2] or 0)
