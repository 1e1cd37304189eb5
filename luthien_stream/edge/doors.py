"""Closed doors: what a request may not ask for while policies are to see what passes."""

from __future__ import annotations

from luthien_stream.config.model import FormatName
from luthien_stream.core.lens import Request
from luthien_stream.edge.refusals import OptionClosed, ThreadClosed

SERVED = (
    "POST /v1/chat/completions",
    "POST /v1/messages",
    "POST /v1/responses",
    "GET /v1/models",
    "GET /v1/models/{id}",
    "GET /setup",
    "GET /setup/{client}",
    "GET /health",
    "GET /livez",
    "GET /readyz",
)


def path_closed(method: str, path: str) -> str:
    """What a client is told that asks for anything else."""
    return f"{method} {path} is not served by this gateway. It serves: {', '.join(SERVED)}"


def check_options(format: FormatName, request: Request) -> None:
    """Refuse options whose output or input no policy can see. Raises `OptionClosed`."""
    if format == "anthropic_messages" and request.get("thread") is not None:
        raise ThreadClosed(
            "This gateway's policies need the whole conversation: `thread` is not supported, send `messages`"
        )
    modalities = request.get("modalities")
    if isinstance(modalities, list) and set(map(str, modalities)) - {"text"}:
        raise OptionClosed('This gateway\'s policies can see text only: `modalities` must be ["text"]')
    if request.get("background"):
        raise OptionClosed(
            "This gateway's policies cannot see what runs in the background: `background` is not supported"
        )
