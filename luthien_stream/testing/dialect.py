"""The vendors' manners for the fake provider: headers, errors, the checks of a request, lists of models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

ANTHROPIC, RESPONSES = "anthropic_messages", "openai_responses"
_NEEDED = {ANTHROPIC: ("model", "messages", "max_tokens"), RESPONSES: ("model",), "embeddings": ("model", "input")}
_ANTHROPIC_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}
_OPENAI_ERRORS = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
}
_ANTHROPIC_HEADERS = {
    "request-id": "req_011CSHoEeqs5C35K2UUqR7Fy",
    "anthropic-organization-id": "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0",
    "anthropic-ratelimit-requests-limit": "4000",
    "anthropic-ratelimit-requests-remaining": "3999",
    "anthropic-ratelimit-requests-reset": "2026-01-01T00:00:00Z",
    "anthropic-ratelimit-input-tokens-limit": "400000",
    "anthropic-ratelimit-input-tokens-remaining": "399000",
    "anthropic-ratelimit-input-tokens-reset": "2026-01-01T00:00:00Z",
}
_OPENAI_HEADERS = {
    "x-request-id": "req_8f2d7c1b5a6e4d3c9b0a1f2e3d4c5b6a",
    "openai-organization": "example-org",
    "openai-processing-ms": "214",
    "openai-version": "2020-10-01",
    "x-ratelimit-limit-requests": "10000",
    "x-ratelimit-remaining-requests": "9999",
    "x-ratelimit-reset-requests": "6ms",
    "x-ratelimit-remaining-tokens": "1999000",
    "x-ratelimit-reset-tokens": "6m0s",
}


def headers(form: str) -> Mapping[str, str]:
    """The headers of every answer."""
    return _ANTHROPIC_HEADERS if form == ANTHROPIC else _OPENAI_HEADERS


def error_body(form: str, status: int, message: str, param: str | None = None, code: str | None = None) -> bytes:
    """An HTTP error's body in the format's dialect."""
    body = _error(form, status, message)
    if form != ANTHROPIC and (param or code):
        body["error"] |= {"param": param, "code": code}
    return msgspec.json.encode(body)


def error_frame(form: str, status: int, message: str) -> bytes:
    """An error inside a stream."""
    if form == RESPONSES:
        error = _error(form, status, message)["error"]
        said = {"type": "error", "sequence_number": 0, "error": {**error, "code": error["code"] or error["type"]}}
        return b"event: error\ndata: %b\n\n" % msgspec.json.encode(said)
    prefix = b"event: error\n" if form == ANTHROPIC else b""
    return b"%bdata: %b\n\n" % (prefix, error_body(form, status, message))


def credential(headers: Mapping[str, str]) -> str:
    """The key that a request carries, empty if none."""
    return headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")


def check(form: str, headers: Mapping[str, str], raw: bytes, key: str) -> tuple[int, str, dict[str, Any]]:
    """Check a request as a vendor would: (status, message, {}) to refuse it, (0, "", its body) if it is good."""
    if key and credential(headers) != key:
        return 401, "invalid x-api-key" if form == ANTHROPIC else "Incorrect API key provided", {}
    try:
        body = msgspec.json.decode(raw)
    except msgspec.DecodeError as error:
        return 400, f"The request body is not valid JSON: {error}", {}
    if not isinstance(body, dict):
        return 400, "The request body must be an object", {}
    for name in _NEEDED.get(form, ("model", "messages")):
        if not body.get(name):
            return 400, f"{name}: Field required", {}
    if not isinstance(body["model"], str) or not isinstance(body.get("messages", []), list):
        return 400, "model: Input should be a valid string; messages: a list", {}
    if form == RESPONSES and not (body.get("input") or body.get("prompt") or body.get("previous_response_id")):
        return 400, "One of 'input' or 'previous_response_id' or 'prompt' must be provided.", {}
    return 0, "", body


def models(names: list[str], anthropic: bool) -> dict[str, Any]:
    """The answer to `GET /v1/models`, in Anthropic's shape or OpenAI's."""
    if not anthropic:
        data = [{"id": name, "object": "model", "created": 1_760_000_000, "owned_by": "fake"} for name in names]
        return {"object": "list", "data": data}
    listed = [
        {"type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z"} for name in names
    ]
    return {"data": listed, "has_more": False, "first_id": names[0], "last_id": names[-1]}


def _error(form: str, status: int, message: str) -> dict[str, Any]:
    if form == ANTHROPIC:
        kind = _ANTHROPIC_ERRORS.get(status, "api_error")
        request_id = _ANTHROPIC_HEADERS["request-id"]
        return {"type": "error", "error": {"type": kind, "message": message}, "request_id": request_id}
    kind, code = _OPENAI_ERRORS.get(status, ("server_error", None))
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}
