"""The clients that are known, by name, and which of them a command starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePath

from luthien_stream.clients import agents, keys, sdks
from luthien_stream.clients.model import Gateway, Setup, Variable

CLIENTS: Mapping[str, Callable[[Gateway], Setup]] = {
    "claude": agents.claude,
    "codex": agents.codex,
    "opencode": agents.opencode,
    "aider": agents.aider,
    "qwen-code": agents.qwen_code,
    "llm": agents.llm,
    "openai-python": sdks.openai_python,
    "anthropic-python": sdks.anthropic_python,
    "openai-js": sdks.openai_js,
    "anthropic-js": sdks.anthropic_js,
    "vercel": sdks.vercel,
    "langchain": sdks.langchain,
    "litellm": sdks.litellm,
}
_COMMANDS = {name: name for name in ("claude", "codex", "opencode", "aider", "llm")} | {"qwen": "qwen-code"}
_SUFFIXES = (".exe", ".cmd")


def client_of(command: str) -> str:
    """The client that a command starts, by its file's name; empty if it is none of these."""
    name = PurePath(command).name.lower()
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    return _COMMANDS.get(name, "")


def anything(gateway: Gateway) -> Setup:
    """What the SDKs in any other program read: every variable of both vendors' at once."""
    return Setup(
        client="",
        title="any other program",
        checked="",
        variables=(
            Variable("OPENAI_BASE_URL", gateway.v1),
            Variable("OPENAI_API_BASE", gateway.v1, "litellm, older LangChain"),
            Variable("ANTHROPIC_BASE_URL", gateway.url, "without /v1"),
            Variable("ANTHROPIC_API_BASE", gateway.url, "litellm"),
            *keys.both_vendors(gateway),
            *keys.headers(gateway, sdks.OPENAI_HEADERS, sdks.ANTHROPIC_HEADERS),
        ),
    )


def setups(gateway: Gateway) -> Sequence[Setup]:
    """Every client's setup."""
    return [make(gateway) for make in CLIENTS.values()]
