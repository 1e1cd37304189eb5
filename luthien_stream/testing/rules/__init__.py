"""The vendors' own rules for requests, as strict as their APIs: what they refuse ends a client's session for good."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from luthien_stream.testing.rules.anthropic import check_messages
from luthien_stream.testing.rules.chat import check_chat
from luthien_stream.testing.rules.issued import Issued
from luthien_stream.testing.rules.refused import Refused
from luthien_stream.testing.rules.responses import check_responses

RULES: Mapping[str, Callable[[dict[str, Any], Issued], None]] = {
    "anthropic_messages": check_messages,
    "openai_chat": check_chat,
    "openai_responses": check_responses,
}
"""For each format what checks a request, given what the provider has issued. Raises `Refused`."""


def refused(form: str, request: dict[str, Any], answers: Iterable[Sequence[bytes]]) -> Refused | None:
    """Why a provider that sent these answers (frames, or one body each) would refuse a request; None if it is good."""
    issued = Issued()
    for sent in answers:
        issued.learn(form, sent)
    try:
        RULES[form](request, issued)
    except Refused as found:
        return found
    except (AttributeError, IndexError, KeyError, TypeError):
        return Refused("The request body has another shape than its format.")
    return None
