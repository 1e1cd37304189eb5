"""A body for OpenAI's `/v1/responses`, read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from luthien_stream.formats.convert.request.conversation import Conversation, Effort, Text, Tool, Turn, leading
from luthien_stream.formats.convert.request.fields import Fields, must_be
from luthien_stream.formats.convert.request.from_chat import (
    EFFORTS,
    WORDS,
    choice_of,
    plain_format,
    read_labels,
    schema_of,
)
from luthien_stream.formats.convert.request.from_responses_items import turn_of
from luthien_stream.formats.convert.request.tools import LOCAL_SHELL

_HINTS = ("model", "store", "client_metadata", "context_management", "max_tool_calls")
"""Where the answer is kept, who sent it, how long contexts are cut: none changes what an answer means."""
_NOTHING = {"background": False, "truncation": "disabled", "top_logprobs": 0}
_INCLUDES = ("reasoning.encrypted_content", "web_search_call.action.sources", "code_interpreter_call.outputs")
_SUMMARIES = ("auto", "concise", "detailed", "none")


def read_responses(body: Any) -> Conversation:
    """The conversation in a body. Raises `RequestError` for what other formats have no words for."""
    fields = Fields(body)
    conversation = Conversation(words=WORDS, stream=bool(fields.flag("stream")))
    if (options := fields.object("stream_options")) is not None:
        options.leave("include_obfuscation")
        options.done()
    instructions = fields.text("instructions")
    texts, conversation.turns = leading(list(_turns(fields)))
    conversation.system = [instructions, *texts] if instructions else texts
    for tool in fields.objects("tools"):
        if _is_codex_search(tool):
            conversation.left_out.append(
                f"{tool.path} (web_search) was left out: this provider has no search to offer."
            )
        else:
            conversation.tools += _tools(tool)
    conversation.choice, conversation.parallel = choice_of(fields), fields.flag("parallel_tool_calls")
    conversation.limit = fields.whole("max_output_tokens")
    conversation.temperature, conversation.top_p = fields.number("temperature"), fields.number("top_p")
    _read_text(fields, conversation)
    _read_reasoning(fields, conversation)
    read_labels(fields, conversation)
    for include in fields.texts("include"):
        Fields({"include": include}).word("include", _INCLUDES)
    for name, value in _NOTHING.items():
        fields.only(name, value)
    fields.leave(*_HINTS)
    fields.done()
    return conversation


def _turns(fields: Fields) -> Iterator[Turn]:
    if fields.holds("input", str):
        yield Turn("user", (Text(fields.text("input")),), "input")
        return
    for item in fields.objects("input"):
        yield turn_of(item)


def _read_text(fields: Fields, conversation: Conversation) -> None:
    text = fields.object("text")
    if text is None:
        return
    conversation.verbosity = text.text("verbosity") or None
    if (form := text.object("format")) is not None:
        kind = form.word("type", ("text", "json_object", "json_schema"))
        conversation.answer_format = schema_of(form) if kind == "json_schema" else plain_format(kind, form.path)
        form.done()
    text.done()


def _read_reasoning(fields: Fields, conversation: Conversation) -> None:
    reasoning = fields.object("reasoning")
    if reasoning is None:
        return
    level, old = reasoning.word("effort", EFFORTS), reasoning.word("generate_summary", _SUMMARIES)
    shown = reasoning.word("summary", _SUMMARIES) or old or ""
    reasoning.leave("context")
    reasoning.only("mode", "standard")
    reasoning.done()
    conversation.effort = Effort(level, shown="" if shown == "none" else shown)


def _is_codex_search(tool: Fields) -> bool:
    """True for the search that Codex offers in every request, whatever the user asked; it says where it may search.

    A search that somebody else asks for is refused.
    """
    return tool.has("type", "web_search") and tool.holds("external_web_access", bool)


def _tools(tool: Fields, namespace: str = "", about: str = "") -> Iterator[Tool]:
    kind = tool.word("type", ("function", "custom", LOCAL_SHELL, "namespace"))
    if kind == LOCAL_SHELL:
        tool.done()
        yield Tool(LOCAL_SHELL, tool.path, kind="local_shell")
        return
    name, description = tool.needed("name"), "\n\n".join(filter(None, (about, tool.text("description"))))
    if kind == "namespace":
        for inner in tool.objects("tools"):
            yield from _tools(inner, name, description)
        tool.done()
        return
    tool.only("defer_loading", False)
    tool.only("async", False)
    tool.only("allowed_callers", ["direct"])
    tool.leave("output_schema")
    if kind == "custom":
        form = tool.mapping("format")
        yield Tool(name, tool.path, description, kind="custom", grammar=form, namespace=namespace)
    elif kind == "function":
        schema, strict = tool.mapping("parameters"), tool.flag("strict")
        yield Tool(name, tool.path, description, schema, strict, namespace=namespace)
    else:
        raise must_be(tool.at("type"), "the type of a tool")
    tool.done()
