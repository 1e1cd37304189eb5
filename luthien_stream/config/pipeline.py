"""What a list of policies may not say, wherever it comes from: the configuration, or the admin listener."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from luthien_stream.config.model import PolicyUse
from luthien_stream.config.read import Finding
from luthien_stream.events.slip import SHADOW

NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
VERSION = re.compile(r"[A-Za-z0-9._-]{1,32}")


def check_pipeline(uses: Sequence[PolicyUse]) -> Iterator[Finding]:
    """All problems, each with its path in the list."""
    for number, use in enumerate(uses):
        for key, problem in _external(use) if use.external else _policy(use):
            yield (number, key), problem
    yield from _torn(uses)


def _policy(use: PolicyUse) -> Iterator[tuple[str, str]]:
    if not use.use:
        yield "use", "name a policy with `use`, or a stage of other workers with `external`"
    if use.timeout_s <= 0:
        yield "timeout_s", "timeout_s must be above 0"
    for key in ("version", "phases"):
        if getattr(use, key):
            yield key, f"{key} belongs to an `external` stage: a policy's own comes from its code"
    if not _may_name(use.stage) and use.mode == "enforce":
        yield "stage", _wrong_name(use.stage)


def _external(use: PolicyUse) -> Iterator[tuple[str, str]]:
    if not _may_name(use.external):
        yield "external", _wrong_name(use.external)
    if not VERSION.fullmatch(use.version):
        yield (
            "version",
            "an external stage needs a version (letters, digits, dots, dashes), as its workers say it",
        )
    if not use.phases:
        yield "phases", "say what its workers take part in: phases: [request, response]"
    fixed = PolicyUse(external=use.external, version=use.version, phases=use.phases, on_error=use.on_error)
    if use != fixed:
        yield "external", "an external stage has version, phases and on_error, and nothing else"


def _may_name(stage: str) -> bool:
    return stage != SHADOW and NAME.fullmatch(stage) is not None


def _wrong_name(stage: str) -> str:
    if stage == SHADOW:
        return "the stage `shadow` is that of the policies with mode: shadow"
    return "a stage's name has lower-case letters, digits, - and _, 32 at most, and begins with a letter"


def _torn(uses: Sequence[PolicyUse]) -> Iterator[Finding]:
    """A stage is one place on the way of a call."""
    before, seen = "", set[str]()
    for number, use in enumerate(uses):
        if use.mode == SHADOW:
            continue
        stage = use.external or use.stage
        if (stage != before or use.external) and stage in seen:
            key = "external" if use.external else "stage"
            yield (
                (number, key),
                f"the stage `{stage}` is further up already, with others between: name this one otherwise",
            )
        seen.add(stage)
        before = "" if use.external else stage
