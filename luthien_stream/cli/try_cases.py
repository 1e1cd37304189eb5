"""The cases of `policies try`: one JSON object a line, which becomes one or several calls on the wire.

A case says what the model says (`text`, `tool` with `args`, `response`), what the client asks (`request`), both, or a
whole conversation in OpenAI form (`messages`), of which each assistant turn is a call.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from luthien_stream.cli.try_wire import CHAT, FORMATS, BadCase, Wire, answer_wire, request_format
from luthien_stream.events.log import AnyEvent
from luthien_stream.formats.json import dump, parse
from luthien_stream.upstream.render import BODIES, STREAMS
from luthien_stream.upstream.script import Answer, Call, Piece, Say

Shape = Literal["said", "asked", "wire", "messages"]
Role = Literal["assistant", "user", "tool", "system"]
MODEL = "any"
_KEYS = ("text", "tool", "request", "response", "messages")
_HELLO = {"role": "user", "content": "Hello"}


class Turn(Struct, frozen=True):
    """One call: the request's body, and the answer, None where there is none."""

    format: str
    request: bytes
    answer: Wire | None = None
    streamed: bool = False
    """The request asks for a stream."""
    model: str = MODEL
    asked: bool = True
    """The request is the case's own, not one made up for an answer."""
    log: Sequence[AnyEvent] = ()
    """The call's inputs as they were recorded; empty: they are made of the above."""


class Case(Struct, frozen=True):
    """One line. `shape` says in which form it came, and so in which form is printed what is left of it."""

    id: Any
    given: Mapping[str, Any]
    turns: Sequence[Turn]
    shape: Shape
    label: Literal["", "deny", "allow"] = ""

    @property
    def session(self) -> str:
        """The agent session of all its calls."""
        return str(self.given.get("session") or f"try-{self.id}")


class Reader(Struct, frozen=True):
    """Makes cases of lines. `role` is who says a bare `text`; `cut` above 0 streams it in pieces of that length."""

    role: Role = "assistant"
    cut: int = 0

    def read(self, line: bytes, number: int) -> Case:
        """Read one line; its number is its id if it names none. Raises `BadCase`, whose `facts` have the id."""
        try:
            given = parse(line.removeprefix(BOM_UTF8))
        except ValueError as error:
            raise BadCase(f"no JSON: {error}") from None
        if not isinstance(given, dict):
            raise BadCase("a case is a JSON object")
        id = given.get("id", number)
        try:
            label: Any = given.get("label") or ""
            if label not in ("", "deny", "allow"):
                raise BadCase('`label` is "deny" or "allow"')
            turns, shape = self._turns(given)
        except BadCase as error:
            error.facts["id"] = id
            raise
        return Case(id, given, turns, shape, label)

    def _turns(self, given: Mapping[str, Any]) -> tuple[Sequence[Turn], Shape]:
        format, model = given.get("format") or "", str(given.get("model") or MODEL)
        if format and format not in FORMATS:
            raise BadCase(f"`format` is one of {', '.join(FORMATS)}")
        if "request" in given or "response" in given:
            return [_on_wire(given, format)], "wire"
        if "messages" in given:
            return _of_conversation(given["messages"], model), "messages"
        role = given.get("role", self.role)
        if "tool" in given or ("text" in given and role == "assistant"):
            return [self._said(given, format or CHAT, model)], "said"
        if "text" in given:
            return [_asked(given["text"], role, model)], "asked"
        raise BadCase(f"a case has one of {', '.join(_KEYS)}")

    def _said(self, given: Mapping[str, Any], format: str, model: str) -> Turn:
        text = _text(given.get("text") or "")
        tool, arguments = given.get("tool"), arguments_of(given)
        if not isinstance(tool, str | None):
            raise BadCase("`tool` is the name of a tool")
        if format == CHAT and not self.cut:
            function = {"name": tool, "arguments": arguments}
            calls = {"tool_calls": [{"id": "call_1", "type": "function", "function": function}]} if tool else {}
            chunks: Sequence[bytes] = [_body({"role": "assistant", "content": text or None, **calls}, model)]
        else:
            chunks = self._rendered(text, tool, arguments, format, model)
        wire = Wire(format, chunks, bool(self.cut))
        return Turn(format, _hello(model), wire, bool(self.cut), model, asked=False)

    def _rendered(self, text: str, tool: str | None, arguments: str, format: str, model: str) -> Sequence[bytes]:
        pieces: list[Piece] = [Say(self._cut(text))] if text else []
        pieces += [Call("call_1", tool, self._cut(arguments))] if tool else []
        answer = Answer(model, tuple(pieces), "tool_calls" if tool else "stop")
        try:
            return STREAMS[format](answer, True) if self.cut else [BODIES[format](answer)]
        except (msgspec.DecodeError, UnicodeEncodeError) as error:
            raise BadCase(f"the case cannot be written in {format}: {error}") from None

    def _cut(self, text: str) -> tuple[str, ...]:
        size = self.cut or len(text)
        return tuple(text[at : at + size] for at in range(0, len(text), size)) if text else ("",)


def arguments_of(given: Mapping[str, Any]) -> str:
    """The JSON text of a tool case's arguments; text is taken as the model wrote it."""
    given_args = given.get("args", {})
    return given_args if isinstance(given_args, str) else dump(given_args).decode()


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise BadCase("`text` is text")
    return value


def _hello(model: str) -> bytes:
    """A request that every format can read, for cases that only say what the model answers."""
    return dump({"model": model, "max_tokens": 1000, "messages": [_HELLO], "input": [_HELLO]})


def _talk(model: str, messages: Sequence[Any]) -> bytes:
    return dump({"model": model, "messages": messages or [_HELLO]})


def _asked(text: Any, role: Any, model: str) -> Turn:
    """What somebody else than the model says: the request that holds it last."""
    said: list[Any] = [{"role": role, "content": _text(text)}]
    match role:
        case "user":
            pass
        case "system":
            said.append(_HELLO)
        case "tool":
            function = {"name": "Read", "arguments": "{}"}
            call = {"id": "call_1", "type": "function", "function": function}
            said[0]["tool_call_id"] = "call_1"
            said[:0] = [_HELLO, {"role": "assistant", "content": None, "tool_calls": [call]}]
        case _:
            raise BadCase("`role` is assistant, user, tool or system")
    return Turn(CHAT, _talk(model, said), model=model)


def _on_wire(given: Mapping[str, Any], format: str) -> Turn:
    answer = answer_wire(given["response"], format) if given.get("response") is not None else None
    request = given.get("request")
    if request is None:
        if answer is None:
            raise BadCase("`request` and `response` are both empty")
        return Turn(answer.format, _hello(MODEL), answer, answer.streamed, asked=False)
    if isinstance(request, str):
        try:
            request = parse(request.encode("utf-8", "surrogatepass"))
        except ValueError as error:
            raise BadCase(f"`request` is no JSON: {error}") from None
    if not isinstance(request, dict):
        raise BadCase("`request` must be the body of a request")
    spoken = format or (answer.format if answer else request_format(request))
    body = request if "model" in request else {"model": MODEL, **request}
    streamed = answer.streamed if answer else body.get("stream") is True
    return Turn(spoken, dump(body), answer, streamed, str(body["model"]))


def _of_conversation(messages: Any, model: str) -> Sequence[Turn]:
    """Each assistant turn as a call with all before it; what comes after the last one as a request of its own."""
    if not isinstance(messages, list) or not all(isinstance(one, dict) and "role" in one for one in messages):
        raise BadCase("`messages` must be a list of messages in OpenAI form")
    turns = [
        Turn(CHAT, _talk(model, messages[:at]), Wire(CHAT, [_body(one, model)]), model=model)
        for at, one in enumerate(messages)
        if one["role"] == "assistant"
    ]
    if messages and messages[-1]["role"] != "assistant":
        turns.append(Turn(CHAT, _talk(model, messages), model=model))
    if not turns:
        raise BadCase("`messages` is empty")
    return turns


def _body(message: Mapping[str, Any], model: str) -> bytes:
    finish = "tool_calls" if message.get("tool_calls") else "function_call" if message.get("function_call") else "stop"
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
    head = {"id": "chatcmpl-try", "object": "chat.completion", "created": 1_760_000_000, "model": model}
    return dump({**head, "choices": [choice]})
