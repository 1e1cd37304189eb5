"""litellm's answers in OpenAI's shape: without its own fields, which break clients. Pure.

`reasoning_content` and `thinking_blocks` are its own too and stay: without them no thinking reaches a client, and none
with a valid signature comes back.
"""

from __future__ import annotations

from array import array
from base64 import b64encode
from collections.abc import Collection, Mapping
from typing import Any

from luthien_stream.errors import ClientError

_TOP = frozenset({"id", "object", "created", "model", "system_fingerprint", "service_tier"})
_SAID = frozenset({"role", "content", "refusal", "reasoning_content", "thinking_blocks", "function_call", "audio"})
_FIELDS = """
audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens max_tokens messages metadata
modalities model n parallel_tool_calls prediction presence_penalty prompt_cache_key reasoning_effort response_format
safety_identifier seed service_tier stop store stream stream_options temperature thinking tool_choice tools top_k
top_logprobs top_p user verbosity web_search_options
"""
CHAT_FIELDS = frozenset(_FIELDS.split())
EMBEDDING_FIELDS = frozenset({"model", "input", "dimensions", "encoding_format", "user"})


def checked(body: Any, known: Collection[str]) -> dict[str, Any]:
    """A request's fields. Raises `ClientError` for any that is not known: litellm would take it for an order to itself.

    With a body's `api_base` or `mock_response` a client could send the gateway's key anywhere.
    """
    if not isinstance(body, dict):
        raise ClientError("The request body must be an object")
    for name in body:
        if name not in known:
            raise ClientError(f"`{name}`: a provider behind litellm does not take this field")
    if not isinstance(body.get("model"), str):
        raise ClientError("`model` is missing: it must be the name of a model")
    return body


def chunk(raw: Mapping[str, Any]) -> dict[str, Any]:
    """One chunk of a stream."""
    choices = [
        {
            "index": choice.get("index", 0),
            "delta": _spoken(choice.get("delta") or {}, indexed=True),
            "finish_reason": choice.get("finish_reason"),
            **_given(choice, ("logprobs",)),
        }
        for choice in raw.get("choices") or ()
    ]
    return {**_given(raw, _TOP), "choices": choices, **_usage(raw)}


def body(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A whole answer."""
    choices = []
    for choice in raw.get("choices") or ():
        message = _spoken(choice.get("message") or {}, indexed=False)
        message.setdefault("content", None)
        choices.append(
            {
                "index": choice.get("index", 0),
                "message": message,
                "finish_reason": choice.get("finish_reason"),
                "logprobs": choice.get("logprobs"),
            }
        )
    return {**_given(raw, _TOP), "choices": choices, **_usage(raw)}


def embeddings(raw: Mapping[str, Any], encoding: str) -> dict[str, Any]:
    """A list of embeddings, as numbers or as OpenAI's base64 of 32-bit floats."""
    data = [
        {"object": "embedding", "index": item.get("index", number), "embedding": _encoded(item["embedding"], encoding)}
        for number, item in enumerate(raw.get("data") or ())
    ]
    return {"object": "list", "data": data, "model": raw.get("model"), **_usage(raw)}


def _encoded(numbers: Any, encoding: str) -> Any:
    return b64encode(array("f", numbers).tobytes()).decode() if encoding == "base64" else numbers


def _spoken(said: Mapping[str, Any], *, indexed: bool) -> dict[str, Any]:
    found = _given(said, _SAID)
    calls = said.get("tool_calls")
    if calls:
        kept = ("index", "id", "type", "function") if indexed else ("id", "type", "function")
        found["tool_calls"] = [_given(call, kept) for call in calls]
        for call in found["tool_calls"]:
            call["function"] = _given(call.get("function") or {}, ("name", "arguments"))
    if said.get("annotations"):
        found["annotations"] = said["annotations"]
    return found


def _usage(raw: Mapping[str, Any]) -> dict[str, Any]:
    usage = raw.get("usage")
    return {"usage": _without_nulls(usage)} if usage else {}


def _without_nulls(value: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _without_nulls(one) if isinstance(one, Mapping) else one for name, one in value.items() if one is not None
    }


def _given(value: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    return {name: one for name, one in value.items() if name in names and one is not None}
