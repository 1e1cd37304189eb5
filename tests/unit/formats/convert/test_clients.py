"""Requests as Claude Code 2.1.330 and Codex 0.169 send them, shortened: nothing in them stands in the way."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.formats.convert.pairs import ANTHROPIC, CHAT, RESPONSES, sent

_KEPT: dict[str, Any] = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
CLAUDE_CODE: dict[str, Any] = {
    "model": "claude-opus-5-5",
    "max_tokens": 128_000,
    "stream": True,
    "metadata": {"user_id": '{"device_id":"' + "6" * 64 + '","account_uuid":"","session_id":"56dd2dbe"}'},
    "thinking": {"type": "adaptive", "display": "updates"},
    "output_config": {"effort": "medium"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "system": [
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.330.440; cc_entrypoint=sdk-cli;"},
        {"type": "text", "text": "You are a Claude agent.", **_KEPT},
    ],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "<system-reminder>\na\n</system-reminder>\n"}]},
        {
            "role": "system",
            "content": [{"type": "text", "text": "# Environment", **_KEPT}],
            "output_config": {"effort": "high"},
        },
    ],
    "tools": [
        {"name": "Bash", "description": "Runs.", "input_schema": {"type": "object", "properties": {}}},
        {"name": "DeferredToolPlaceholder", "input_schema": {"type": "object"}, "defer_loading": True},
    ],
}
TITLE: dict[str, Any] = {
    "model": "claude-haiku-4-5",
    "max_tokens": 256,
    "stream": True,
    "tools": [],
    "temperature": 1,
    "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}],
    "output_config": {
        "format": {
            "type": "json_schema",
            "schema": {
                "type": "object",
                "properties": {"title": {"type": "string"}},
                "required": ["title"],
                "additionalProperties": False,
            },
        }
    },
}
PROBE: dict[str, Any] = {
    "model": "claude-haiku-4-5",
    "max_tokens": 1,
    "messages": [{"role": "user", "content": "quota"}],
}
CODEX: dict[str, Any] = {
    "model": "gpt-5.1-codex",
    "instructions": "You are Codex.",
    "input": [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "<permissions>"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "<environment_context>"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "say hi"}]},
    ],
    "tools": [
        {"type": "function", "name": "exec_command", "strict": False, "parameters": {"type": "object"}},
        {
            "type": "namespace",
            "name": "multi_agent_v1",
            "description": "Sub-agents.",
            "tools": [{"type": "function", "name": "spawn_agent", "strict": False, "parameters": {"type": "object"}}],
        },
        {"type": "web_search", "external_web_access": False},
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "reasoning": {"summary": "auto"},
    "text": {"verbosity": "low"},
    "store": False,
    "stream": True,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "01a21569",
    "client_metadata": {"turn_id": "01a21569"},
}


@pytest.mark.parametrize("provider", [CHAT, RESPONSES])
def test_claude_code_is_carried(provider: str) -> None:
    """Deferred tools stay away, the last effort counts, the system's turn keeps its place."""
    found = sent(ANTHROPIC, provider, CLAUDE_CODE)
    assert [tool.get("function", tool)["name"] for tool in found["tools"]] == ["Bash"]
    turns = [turn["role"] for turn in found.get("messages") or found["input"]]
    assert "billing" not in str(found)
    assert turns == (["system", "user", "system"] if provider == CHAT else ["user", "developer"])
    assert "high" in (found.get("reasoning_effort"), found.get("reasoning", {}).get("effort"))


@pytest.mark.parametrize("request_", [TITLE, PROBE])
@pytest.mark.parametrize("provider", [CHAT, RESPONSES])
def test_its_side_calls_are_carried(provider: str, request_: dict[str, Any]) -> None:
    """Titles with a schema, and the question whether it may ask at all."""
    found = sent(ANTHROPIC, provider, request_)
    assert "tools" not in found
    assert bool(found.get("response_format") or found.get("text")) is (request_ is TITLE)


@pytest.mark.parametrize("provider", [ANTHROPIC, CHAT])
def test_codex_is_carried(provider: str) -> None:
    """What it told the model first is the system's, and what it caches under a name is cached."""
    found = sent(RESPONSES, provider, CODEX)
    names = [tool.get("function", tool)["name"] for tool in found["tools"]]
    assert names == ["exec_command", "multi_agent_v1__spawn_agent"]
    if provider == CHAT:
        assert found["messages"][0] == {"role": "system", "content": "You are Codex.\n\n<permissions>"}
        assert (found["prompt_cache_key"], found["verbosity"]) == ("01a21569", "low")
    else:
        assert [block["text"] for block in found["system"]] == ["You are Codex.", "<permissions>"]
        assert found["thinking"] == {"type": "adaptive", "display": "summarized"}
        assert found["cache_control"] == {"type": "ephemeral"}
