"""Send a request to another model than it asks for: by model, gateway key, user's session or length.

The first rule that matches counts. The answer comes from the new model under the client's own connection; a request
that no rule matches leaves as it came.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

import msgspec

from luthien_stream.policy import Context, Policy, Request


class Rule(msgspec.Struct, forbid_unknown_fields=True):
    """All that is given must match: globs over model, key and session, and more than `over_tokens` in the request."""

    to: str
    model: str = "*"
    key: str = "*"
    session: str = "*"
    over_tokens: int = 0
    """Tokens of the conversation, an estimate; 0 for any."""

    def __post_init__(self) -> None:
        if not self.to:
            raise ValueError("`to` must name a model")


class ModelSwitch(Policy):
    """`rules: [{model: GLOB, key: GLOB, session: GLOB, over_tokens: N, to: MODEL}, ...]`."""

    rules: list[Rule]

    async def request(self, request: Request, ctx: Context) -> Request:
        """Ask for the model of the first rule that matches."""
        for rule in self.rules:
            if _is_match(rule, request, ctx):
                if rule.to != request.model:
                    ctx.verdict("rewrite", f"{request.model} becomes {rule.to}")
                return request.set_model(rule.to)
        return request


def _is_match(rule: Rule, request: Request, ctx: Context) -> bool:
    facts = ((request.model, rule.model), (ctx.call.key, rule.key), (ctx.call.session, rule.session))
    if not all(fnmatchcase(fact, glob) for fact, glob in facts):
        return False
    return not rule.over_tokens or _tokens(request, ctx) > rule.over_tokens


def _tokens(request: Request, ctx: Context) -> int:
    return sum(ctx.count_tokens(part.text) for part in request.parts() if part.text)
