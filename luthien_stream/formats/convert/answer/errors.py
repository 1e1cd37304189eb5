"""A provider's errors in the other vendor's words; the message stays, and so does the status."""

from __future__ import annotations

from typing import Any

from luthien_stream.formats.anthropic_messages.wire import ERROR_KINDS
from luthien_stream.formats.convert.answer.pieces import Failed
from luthien_stream.formats.json import parse

_TOO_LONG = "prompt is too long"
"""What Anthropic's clients look for: they then shorten the conversation."""
_LONG_CODE = "context_length_exceeded"
"""What OpenAI's clients look for."""
_CODES = {
    "billing_error": "insufficient_quota",
    "authentication_error": "invalid_api_key",
    "rate_limit_error": "rate_limit_exceeded",
    "overloaded_error": "server_is_overloaded",
    "timeout_error": "timeout",
    "request_too_large": "request_too_large",
    "not_found_error": "not_found",
}
"""Anthropic's words for errors to OpenAI's codes."""
_KINDS = {code: kind for kind, code in _CODES.items()} | {
    "model_not_found": "not_found_error",
    "slow_down": "overloaded_error",
    "server_error": "api_error",
    _LONG_CODE: "invalid_request_error",
}
_OPENAI_KINDS = {
    "billing_error": "insufficient_quota",
    "api_error": "server_error",
    "timeout_error": "server_error",
    "overloaded_error": "server_error",
    "request_too_large": "invalid_request_error",
}
"""Anthropic's words for errors to OpenAI's types, where they differ."""
_STATUSES = {kind: status for status, kind in ERROR_KINDS.items()} | {"api_error": 500}
_SHOWN = 2000


def failure_of(status: int, said: Any) -> Failed:
    """A failure from an error object of either vendor; status 0 if there is none, inside a stream."""
    said = said if isinstance(said, dict) else {"message": str(said)}
    message = str(said.get("message") or "The provider failed")
    code, kind = str(said.get("code") or ""), str(said.get("type") or "")
    if kind in _CODES or kind in _STATUSES:
        kind = _KINDS.get(code, kind)
    else:
        kind = _KINDS.get(code) or _KINDS.get(kind) or ERROR_KINDS.get(status) or _default(status)
    code = code or _CODES.get(kind, "")
    if kind == "invalid_request_error" and message.startswith(_TOO_LONG):
        code = _LONG_CODE
    return Failed(status or _STATUSES.get(kind, 500), kind, code, message)


def failure_in(status: int, body: bytes) -> Failed:
    """A failure from the body of an HTTP error."""
    try:
        found = parse(body)
    except ValueError:
        found = None
    if isinstance(found, dict) and found.get("error"):
        return failure_of(status, found["error"])
    text = body.decode("utf-8", "replace").strip()[:_SHOWN]
    return failure_of(status, {"message": text or f"The provider answered with status {status}"})


def for_anthropic(failed: Failed) -> Failed:
    """The failure as Anthropic's clients look for it."""
    if failed.code == _LONG_CODE and not failed.message.startswith(_TOO_LONG):
        return Failed(failed.status, failed.kind, failed.code, f"{_TOO_LONG}: {failed.message}")
    return failed


def openai_kind(failed: Failed) -> str:
    """OpenAI's type for a failure."""
    return _OPENAI_KINDS.get(failed.kind, failed.kind)


def _default(status: int) -> str:
    return "invalid_request_error" if 0 < status < 500 else "api_error"
