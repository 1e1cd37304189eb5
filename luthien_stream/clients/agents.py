"""Agents and tools with a command of their own."""

from __future__ import annotations

import json
from typing import Any

from luthien_stream.clients import keys
from luthien_stream.clients.model import KEY, KEY_HEADER, KEY_VARIABLE, Gateway, Setup, Snippet, Switch, Variable

CLAUDE_SWITCHES = (
    Switch(
        "ENABLE_TOOL_SEARCH",
        "true",
        "At any address but Anthropic's, Claude Code sends the definitions of all MCP tools with each request instead "
        "of searching for them: many times the tokens with many tools. This turns the search on again.",
        restores=True,
    ),
    Switch(
        "CLAUDE_CODE_ENABLE_FINE_GRAINED_TOOL_STREAMING",
        "1",
        "At any other address the arguments of tool calls do not stream while they are written. This asks for it; "
        "under a policy that sees tool calls they arrive whole all the same.",
        restores=True,
    ),
    Switch(
        "CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY",
        "1",
        "Adds the gateway's models whose names contain `claude` or `anthropic` to the model picker.",
    ),
    Switch(
        "CLAUDE_STREAM_IDLE_TIMEOUT_MS",
        "1800000",
        "Claude Code ends a stream that brings nothing for five minutes. The gateway's keep-alives count, so a policy "
        "or a person may take longer; this is for a network in between that holds them back.",
    ),
    Switch(
        "CLAUDE_CODE_ATTRIBUTION_HEADER",
        "0",
        "The system prompt begins with a line that changes with the conversation; a prompt cache of a provider other "
        "than Anthropic then matches nothing. This leaves the line out.",
    ),
    Switch(
        "CLAUDE_CODE_DISABLE_EXPERIMENTAL_BETAS",
        "1",
        "For a model that is not Anthropic's and refuses the fields of beta features. It also turns tool search off.",
    ),
    Switch(
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC",
        "1",
        "Telemetry, error reports and updates go to Anthropic directly, not through the gateway. This turns them off.",
    ),
)


def claude(gateway: Gateway) -> Setup:
    """Claude Code. Its login (Pro, Max) goes through as well as a key."""
    key = {
        "passthrough": (),
        "keys": (Variable("ANTHROPIC_AUTH_TOKEN", KEY, "the gateway's key, sent as `Authorization: Bearer`"),),
        "both": (Variable("ANTHROPIC_CUSTOM_HEADERS", f"{KEY_HEADER}: {KEY}", "beside your own login or key"),),
    }[gateway.mode]
    variables = (Variable("ANTHROPIC_BASE_URL", gateway.url, "without /v1"), *key)
    settings = {"env": {variable.name: variable.value for variable in variables}}
    return Setup(
        client="claude",
        title="Claude Code",
        checked="@anthropic-ai/claude-code 2.1.330",
        variables=variables,
        files=(Snippet("~/.claude/settings.json", json.dumps(settings, indent=2)),),
        switches=CLAUDE_SWITCHES,
        notes=("With no key set Claude Code uses its own login, which reaches Anthropic through the gateway.",)
        if gateway.mode != "keys"
        else (),
    )


def codex(gateway: Gateway) -> Setup:
    """Codex: a provider of its own, since the built-in one opens a WebSocket first."""
    variable = KEY_VARIABLE if gateway.mode == "keys" else "OPENAI_API_KEY"
    fields: dict[str, Any] = {
        "name": "luthien-stream",
        "base_url": gateway.v1,
        "env_key": variable,
        "wire_api": "responses",
        "supports_websockets": False,
    }
    if gateway.mode == "both":
        fields["env_http_headers"] = {KEY_HEADER: KEY_VARIABLE}
    lines = ['model_provider = "luthien"', "", "[model_providers.luthien]"]
    lines += [f"{name} = {_toml(value)}" for name, value in fields.items()]
    return Setup(
        client="codex",
        title="Codex CLI",
        checked="@openai/codex 0.169.0",
        variables=()
        if gateway.mode == "passthrough"
        else (Variable(KEY_VARIABLE, KEY, "the gateway's key; the configuration below reads it from here"),),
        files=(Snippet("~/.codex/config.toml", "\n".join(lines)),),
        arguments=("-c", 'model_provider="luthien"', "-c", f"model_providers.luthien={_toml(fields)}"),
        notes=(
            f"The key is read from {variable}. A ChatGPT login is not sent to a provider of your own.",
            "`supports_websockets = false` keeps Codex from trying a WebSocket first.",
        ),
    )


def opencode(gateway: Gateway) -> Setup:
    """opencode: options of its own two providers. `run` adds them by an environment variable."""
    options: dict[str, Any] = {"baseURL": gateway.v1}
    if gateway.mode == "keys":
        options["apiKey"] = f"{{env:{KEY_VARIABLE}}}"
    if gateway.mode == "both":
        options["headers"] = {KEY_HEADER: f"{{env:{KEY_VARIABLE}}}"}
    config = {"provider": {name: {"options": options} for name in ("anthropic", "openai")}}
    key = () if gateway.mode == "passthrough" else (Variable(KEY_VARIABLE, KEY, "the gateway's key"),)
    return Setup(
        client="opencode",
        title="opencode",
        checked="opencode-ai 1.18.33",
        variables=(
            Variable("OPENCODE_CONFIG_CONTENT", json.dumps(config), "instead of the file, for one run"),
            *key,
        ),
        files=(Snippet("~/.config/opencode/opencode.json", json.dumps(config, indent=2)),),
        notes=("Any other server that speaks OpenAI's API: a provider with `npm: @ai-sdk/openai-compatible`.",),
    )


def aider(gateway: Gateway) -> Setup:
    """aider, which calls models through litellm."""
    settings = f"- name: aider/extra_params\n  extra_params:\n    extra_headers:\n      {KEY_HEADER}: {KEY}"
    return Setup(
        client="aider",
        title="aider",
        checked="aider-chat 0.86.2",
        variables=(
            Variable("OPENAI_API_BASE", gateway.v1, "for `--model openai/NAME`"),
            Variable("ANTHROPIC_API_BASE", gateway.url, "for `--model anthropic/NAME`, without /v1"),
            *keys.both_vendors(gateway),
        ),
        files=(Snippet(".aider.model.settings.yml", settings),) if gateway.mode == "both" else (),
    )


def llm(gateway: Gateway) -> Setup:
    """llm, with llm-anthropic for Claude."""
    return Setup(
        client="llm",
        title="llm",
        checked="llm 0.30, llm-anthropic 0.25.1",
        variables=(
            Variable("OPENAI_BASE_URL", gateway.v1),
            Variable("ANTHROPIC_BASE_URL", gateway.url, "for llm-anthropic, without /v1"),
            *keys.both_vendors(gateway),
            *keys.headers(gateway, "OPENAI_CUSTOM_HEADERS", "ANTHROPIC_CUSTOM_HEADERS"),
        ),
        notes=("Keys that were stored with `llm keys set` win over the environment.",)
        if gateway.mode == "keys"
        else (),
    )


def qwen_code(gateway: Gateway) -> Setup:
    """Qwen Code, by OpenAI's API."""
    settings = {"model": {"generationConfig": {"customHeaders": {KEY_HEADER: KEY}}}}
    return Setup(
        client="qwen-code",
        title="Qwen Code",
        checked="@qwen-code/qwen-code 0.24.4",
        variables=(Variable("OPENAI_BASE_URL", gateway.v1), *keys.openai(gateway)),
        files=(Snippet("~/.qwen/settings.json", json.dumps(settings, indent=2)),) if gateway.mode == "both" else (),
        notes=("Start it with `--auth-type openai --model NAME`.",),
    )


def _toml(value: Any) -> str:
    """A value as TOML writes it inline."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_toml(inner)}" for name, inner in value.items()) + "}"
    return json.dumps(value)  # strings without control characters and booleans are the same in both
