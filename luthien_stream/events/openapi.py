"""The OpenAPI document of the edge: the public listener, and the admin listener under `/luthien/api`.

Bodies of the vendors' formats are theirs: what we do not know passes unchanged, so their schemas say no more than what
the edge itself reads.
"""

from __future__ import annotations

from typing import Any

from luthien_stream import __version__

JSON = "application/json"
_MESSAGES: dict[str, Any] = {
    "type": "object",
    "required": ["model", "messages"],
    "properties": {
        "model": {
            "type": "string",
            "description": "Routed by `models:` of the configuration; `provider/model` names one.",
        },
        "messages": {"type": "array", "items": {"type": "object"}},
        "stream": {"type": "boolean", "default": False},
    },
    "additionalProperties": True,
}
_RESPONSES: dict[str, Any] = {
    "type": "object",
    "required": ["model"],
    "properties": {
        **{name: _MESSAGES["properties"][name] for name in ("model", "stream")},
        "input": {"description": "Text, or a list of items."},
        "previous_response_id": {"type": "string"},
    },
    "additionalProperties": True,
}
_CALL_ID = {
    "x-luthien-call-id": {"description": "The call's id: `luthien-stream show CALL`.", "schema": {"type": "string"}}
}
_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
_ERRORS = {
    "400": "The body cannot be read, or a field that the edge needs is missing.",
    "401": "No credential, or one that the gateway does not know.",
    "404": "No such model or path.",
    "413": "The body is larger than 32 MB.",
    "429": "The provider's answer, or the gateway's own with `retry-after`.",
    "502": "The provider cannot be reached, or broke off before the first byte.",
    "503": "No worker, a policy failed closed (`x-should-retry: false`), or the log cannot be written (`retry-after`).",
    "504": "The provider did not answer in time.",
}


def openapi() -> dict[str, Any]:
    """Return the document."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "luthien-stream edge",
            "version": __version__,
            "description": "The vendors' endpoints, with policies between. Errors are in the endpoint's dialect.",
        },
        "security": [{"bearer": []}, {"x-api-key": []}, {"x-luthien-key": []}],
        "paths": {
            "/v1/messages": {"post": _completion("Anthropic Messages", "AnthropicError")},
            "/v1/chat/completions": {"post": _completion("OpenAI Chat Completions", "OpenAIError")},
            "/v1/messages/count_tokens": {"post": _passed("Anthropic's token count", "AnthropicError")},
            "/v1/responses": {"post": _completion("OpenAI Responses", "OpenAIError", _RESPONSES)},
            "/v1/responses/{id}": {
                "get": {**_passed("A stored response, as it was delivered", "OpenAIError"), "parameters": [_ID]},
                "delete": {**_passed("Forget a stored response", "OpenAIError"), "parameters": [_ID]},
            },
            "/v1/embeddings": {"post": _passed("OpenAI Embeddings", "OpenAIError")},
            "/v1/calls/{id}/stream": {"get": _resumed()},
            "/v1/models": {"get": _models("The models that the gateway routes")},
            "/v1/models/{id}": {"get": {**_models("One model"), "parameters": [_ID]}},
            "/setup": {"get": _setup("What to set for every client: a list as text, everything as JSON.")},
            "/setup/{client}": {
                "get": {**_setup("What to set for one client.", "404"), "parameters": [{**_ID, "name": "client"}]}
            },
            "/health": {"get": _health("The state of the process and of what it depends on.")},
            "/livez": {"get": _health("The process runs. Never depends on Redis.")},
            "/luthien/api/status": _admin("The state of this edge: version, pipeline, readiness, open calls."),
            "/luthien/api/calls": _admin("The calls that are open in this edge."),
            "/readyz": {
                "get": _health("Calls can be served: the log can be written and a worker serves the pipeline.", "503")
            },
        },
        "components": {"securitySchemes": _schemes(), "schemas": _schemas()},
    }


def _completion(format_name: str, error: str, body: dict[str, Any] = _MESSAGES) -> dict[str, Any]:
    text = f"{format_name}: what no policy changes passes byte for byte, unknown fields, headers and query included."
    good = {
        "description": "The answer, streamed or not as the request asks. A refusal by a policy is an answer too.",
        "headers": _CALL_ID,
        "content": {JSON: {"schema": {"type": "object"}}, "text/event-stream": {"schema": {"type": "string"}}},
    }
    return {
        "summary": format_name,
        "description": text,
        "requestBody": {"required": True, "content": {JSON: {"schema": body}}},
        "responses": {"200": good, **_bad(error)},
    }


def _passed(summary: str, error: str) -> dict[str, Any]:
    good = {
        "description": "The provider's answer, as it came.",
        "headers": _CALL_ID,
        "content": {JSON: {"schema": {"type": "object"}}},
    }
    return {"summary": summary, "responses": {"200": good, **_bad(error)}}


def _resumed() -> dict[str, Any]:
    after = {"description": "Position of the last frame that arrived.", "schema": {"type": "integer", "minimum": -1}}
    good = {
        "description": "The call's final lane from there on, then live. Each event's `id` is its position. "
        "`event: gap` where the log no longer has what was asked for.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
    return {
        "summary": "Resume a call's stream, with the credential that began it",
        "parameters": [
            _ID,
            {"name": "after", "in": "query", **after},
            {"name": "Last-Event-ID", "in": "header", **after},
        ],
        "responses": {"200": good, **_bad("OpenAIError")},
    }


def _bad(error: str) -> dict[str, Any]:
    return {
        status: {"description": says, "headers": _CALL_ID, "content": {JSON: {"schema": _ref(error)}}}
        for status, says in _ERRORS.items()
    }


def _models(summary: str) -> dict[str, Any]:
    text = "Anthropic's shape when the request has `anthropic-version`, else OpenAI's."
    return {
        "summary": summary,
        "description": text,
        "responses": {"200": {"description": "The list.", "content": {JSON: {"schema": {"type": "object"}}}}},
    }


def _admin(text: str) -> dict[str, Any]:
    answers = {"200": {"description": text, "content": {JSON: {"schema": {"type": "object"}}}}}
    refused = {"401": {"description": "The token of the data folder is missing or wrong."}}
    get = {"summary": text, "security": [{"admin": []}], "responses": {**answers, **refused}}
    server = {"url": "http://127.0.0.1:8001", "description": "The admin listener, for people and tools."}
    return {"servers": [server], "get": get}


def _setup(text: str, *failures: str) -> dict[str, Any]:
    content = {"text/plain": {"schema": {"type": "string"}}, JSON: {"schema": {}}}
    answers: dict[str, Any] = {"200": {"description": text, "content": content}}
    missing = {status: {"description": "No such client; the list."} for status in failures}
    return {"summary": text, "security": [], "responses": {**answers, **missing}}


def _health(text: str, *failures: str) -> dict[str, Any]:
    answers = {status: {"description": text if status == "200" else "Not now."} for status in ("200", *failures)}
    return {"summary": text, "security": [], "responses": answers}


def _schemes() -> dict[str, Any]:
    return {
        "bearer": {"type": "http", "scheme": "bearer", "description": "A provider's credential, or a gateway key."},
        "x-api-key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
        "admin": {
            "type": "http",
            "scheme": "bearer",
            "description": "The content of `admin-token` in the data folder.",
        },
        "x-luthien-key": {
            "type": "apiKey",
            "in": "header",
            "name": "x-luthien-key",
            "description": "A gateway key beside a provider's credential.",
        },
    }


def _schemas() -> dict[str, Any]:
    text = {"type": "string"}
    said = {"type": "object", "properties": {"type": text, "message": text}, "required": ["type", "message"]}
    maybe = {"type": ["string", "null"]}
    openai = {"type": "object", "properties": {"message": text, "type": text, "param": maybe, "code": maybe}}
    return {
        "AnthropicError": {
            "type": "object",
            "properties": {"type": {"const": "error"}, "error": said, "request_id": maybe},
            "required": ["type", "error"],
        },
        "OpenAIError": {"type": "object", "properties": {"error": openai}, "required": ["error"]},
    }


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
