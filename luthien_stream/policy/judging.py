"""`ctx.judge`: a model's opinion, as a value of a type. What cannot be read as one is a failure, never an opinion."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec
from msgspec import Struct

from luthien_stream.events.answer import End, Event, Text, ToolCall
from luthien_stream.policy.errors import EffectFailed, JudgeFailed

if TYPE_CHECKING:
    from luthien_stream.policy.context import Context

S = TypeVar("S", bound=Struct)
FORMAT: Final = "openai_chat"
REPLY_LIMIT: Final = 256 * 1024
"""Bytes of a judge's reply."""
TOKENS: Final = 1_000
_PAUSE_S = 1.0
_FENCED = re.compile(r"\A```(?:json)?[ \t]*\n(.*)\n```\Z", re.DOTALL)
_ANSWER = "Answer with one JSON object of this JSON Schema and nothing else:\n"
_LATER = frozenset({408, 409, 425, 429, *range(500, 600)})
_BROKEN = frozenset({"unreachable", "cut"})


async def judge(
    ctx: Context, model: str, prompt: str, shown: str, schema: type[S], retries: int, limit_s: float, tokens: int
) -> S:
    """Ask until there is a reply, at most `retries` times more; then read it. Raises `JudgeFailed`."""
    body = request_body(model, prompt, shown, schema, tokens)
    for attempt in range(retries + 1):
        try:
            events = await ctx._reply(model, body, limit_s).collect(REPLY_LIMIT)
        except EffectFailed as error:
            if attempt == retries or not is_passing(error):
                raise JudgeFailed(f"The judge {model} gave no reply: {error}", why=error.facts["error"]) from None
            await ctx._pause(_PAUSE_S * 2**attempt)
        else:
            return read(events, schema, model)
    raise JudgeFailed(f"The judge {model} was not asked: retries = {retries}", why="not_asked")


def is_passing(error: EffectFailed) -> bool:
    """True where the same question may have better luck: the provider was overloaded, or the connection broke."""
    return error.facts["error"] in _BROKEN or error.facts.get("status") in _LATER


def request_body(model: str, prompt: str, shown: str, schema: type[Struct], tokens: int) -> bytes:
    """Return the chat request that asks for one object of `schema`."""
    described = strict_schema(schema)
    asked = f"{prompt}\n\n{_ANSWER}{msgspec.json.encode(described).decode()}"
    form = {"name": schema.__name__, "strict": True, "schema": described}
    return msgspec.json.encode(
        {
            "model": model,
            "messages": [{"role": "system", "content": asked}, {"role": "user", "content": shown}],
            "response_format": {"type": "json_schema", "json_schema": form},
            "max_completion_tokens": tokens,
            "stream": False,
        }
    )


def read(events: Sequence[Event], schema: type[S], model: str = "") -> S:
    """Read a whole reply. Raises `JudgeFailed` where it is anything but one object of `schema`."""
    texts = [event for event in events if isinstance(event, Text)]
    end = next((event for event in events if isinstance(event, End)), End("cut"))
    if any(text.refusal for text in texts) or end.reason == "content_filter":
        raise JudgeFailed(f"The judge {model} refused to answer", why="refusal")
    if end.reason != "stop" or any(isinstance(event, ToolCall) for event in events):
        raise JudgeFailed(f"The judge {model} did not finish its reply ({end.reason})", why="garbage")
    text = "".join(text.text for text in texts).strip()
    fenced = _FENCED.match(text)
    raw = (fenced.group(1) if fenced is not None else text).encode("utf-8", "replace")
    try:
        found = msgspec.json.decode(raw, type=schema)
        known = {field.encode_name for field in msgspec.structs.fields(schema)}
        unknown = set(msgspec.json.decode(raw, type=dict[str, Any])) - known
    except (msgspec.DecodeError, RecursionError) as error:
        raise JudgeFailed(f"The judge {model} said what is no {schema.__name__}: {error}", why="garbage") from None
    if unknown:
        raise JudgeFailed(f"The judge {model} said more than a {schema.__name__} has", why="garbage")
    return found


def strict_schema(schema: type[Struct]) -> dict[str, Any]:
    """Return the JSON Schema of a struct as providers want it: every field is required, and there are no others."""
    (root,), parts = msgspec.json.schema_components((schema,), ref_template="#/$defs/{name}")
    name = root["$ref"].rsplit("/", 1)[-1]
    made = {part: _strict(described) for part, described in parts.items()}
    own = made.pop(name)
    return {**own, "$defs": made} if made else own


def _strict(described: Any) -> Any:
    if isinstance(described, list):
        return [_strict(one) for one in described]
    if not isinstance(described, dict):
        return described
    made = {key: _strict(value) for key, value in described.items() if key != "default"}
    if made.get("type") == "object" and "properties" in made:
        made |= {"required": list(made["properties"]), "additionalProperties": False}
    return made
