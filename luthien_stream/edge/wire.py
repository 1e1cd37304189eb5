"""Which headers pass, in both directions, and what the edge adds to an answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from multidict import CIMultiDict

from luthien_stream.config.model import FormatName, Provider
from luthien_stream.edge.credentials import is_credential
from luthien_stream.events.log import Header

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_NOT_UP = HOP_BY_HOP | {"host", "content-length", "content-encoding", "accept-encoding", "expect"}
_NOT_DOWN = HOP_BY_HOP | {"content-length", "content-encoding"}
CALL_HEADER = "x-luthien-call-id"
REQUEST_ID = {"anthropic_messages": "request-id", "openai_chat": "x-request-id", "openai_responses": "x-request-id"}
EVENT_STREAM = "text/event-stream"


def to_provider(headers: Iterable[Header], credential: Sequence[Header], provider: Provider) -> list[Header]:
    """The client's headers for the provider: all but hop-by-hop ones, credentials and our own, then the provider's."""
    fixed = {name.lower() for name in provider.headers}
    kept = [
        (name, value)
        for name, value in headers
        if name not in _NOT_UP and name not in fixed and not is_credential(name) and not name.startswith("x-luthien-")
    ]
    return [*kept, *provider.headers.items(), *credential]


def to_client(headers: Iterable[Header], call: str, format: str, *, cookies: bool) -> CIMultiDict[str]:
    """The provider's headers for the client, with the call's id; without `cookies` where they belong to our own key."""
    answer = CIMultiDict(
        (name, value)
        for name, value in headers
        if name not in _NOT_DOWN and value.isprintable() and (cookies or name != "set-cookie")
    )
    answer[CALL_HEADER] = call
    answer.setdefault(REQUEST_ID[format], call)
    return answer


def streamed(headers: Iterable[Header]) -> bool:
    """Say whether a provider's answer is a stream of events."""
    return any(name == "content-type" and value.lower().startswith(EVENT_STREAM) for name, value in headers)


def format_of(path: str, headers: Iterable[str]) -> FormatName:
    """The dialect of a client that asks for any path."""
    if path.startswith("/v1/messages") or "anthropic-version" in headers:
        return "anthropic_messages"
    return "openai_responses" if path.startswith("/v1/responses") else "openai_chat"
