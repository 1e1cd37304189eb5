"""How a policy can fail. Each of these ends in a `policy.failed` event; `on_error` says which way the call goes."""

from __future__ import annotations

from luthien_stream.errors import PolicyError


class ForeignAwait(PolicyError):
    """A policy awaited something that is neither its events nor `ctx`. Take everything from outside through `ctx`."""


class BadYield(PolicyError):
    """A policy yielded what is no event. Yield `Text`, `ToolCall`, `End` or an event that came in."""


class YieldAfterEnd(PolicyError):
    """A policy yielded something after `End`. Yield it before, or return."""


class UndeclaredHold(PolicyError):
    """A policy put out an event later than its `hold` allows. Declare `hold = "block"` or `hold = "turn"`."""


class SignedThinking(PolicyError):
    """A policy edited signed thinking, which the provider would refuse later. Pass or drop the whole part."""


class HoldTooLarge(PolicyError):
    """A policy holds back more than 8 MiB. Release earlier, or decide on less."""


class BadEdit(PolicyError):
    """The edits of a text policy must be in order, must not overlap, and must lie in the text."""


class NotAGenerator(PolicyError):
    """`response` must be an async generator, `request` must return a request."""


class EffectFailed(PolicyError):
    """Something outside the log failed or was too late; `facts["error"]` says how."""


class TooManyEffects(PolicyError):
    """A policy asks for too much from outside: at most 64 effects at once, and 1,000 in one phase of a call."""


class JudgeFailed(EffectFailed):
    """A judge gave no opinion; `why` says how: `timeout`, `garbage`, `refusal`, `provider_error`, ..."""

    def __init__(self, message: str, *, why: str) -> None:
        self.why = why
        super().__init__(message, error=why)


class MissingEffect(PolicyError):
    """A run needs the recorded result of an effect, and the record has none."""
