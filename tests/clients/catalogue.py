"""The clients that are tried, where each is installed, and what it is asked to do."""

from __future__ import annotations

import sys
from pathlib import Path

from msgspec import Struct

ROOT = Path(__file__).parents[2]
INSTALLED = ROOT / ".clients"
PROGRAMS = Path(__file__).parent / "programs"
NODE = INSTALLED / "node" / "node_modules"

COMMON = (
    "text",
    "streamed text",
    "unicode",
    "tools",
    "streamed tools",
    "parallel tools",
    "denied tools",
    "streamed denied tools",
    "error 400",
    "error 401",
    "error 429",
    "error 503",
    "error in the stream",
    "retry after 503",
    "retry after 429",
    "cut stream",
    "silence",
    "models",
)
BYTES = ("bytes", "bytes of unicode")
ANTHROPIC = (*COMMON, *BYTES, "thinking", "thinking, then a turn", "error 529", "retry after 529", "count tokens")
RESPONSES = (
    "responses text",
    "responses streamed text",
    "responses thinking",
    "responses tools",
    "responses denied tools",
    "responses error 503",
    "responses cut stream",
    "responses silence",
    "held responses",
)
OPENAI = (*COMMON, *BYTES, *RESPONSES, "embeddings")


VERCEL = (
    "text",
    "streamed text",
    "unicode",
    "tools",
    "streamed tools",
    "parallel tools",
    "denied tools",
    "streamed denied tools",
    "error 400",
    "error 503",
    "error in the stream",
    "retry after 503",
    "cut stream",
    "silence",
)
LANGCHAIN = (
    "text",
    "streamed text",
    "unicode",
    "thinking",
    "tools",
    "parallel tools",
    "denied tools",
    "error 400",
    "error 503",
    "retry after 503",
    "cut stream",
    "silence",
)
CLAUDE_CODE = (
    "streamed text",
    "unicode",
    "thinking",
    "tools",
    "denied command",
    "error 400",
    "retry after 529",
    "retry after 503",
    "retry after 429",
    "retry after a cut stream",
    "silence",
    "a minute of silence",
)
AGENT = ("streamed text", "unicode", "retry after 503", "silence")


class Client(Struct, frozen=True):
    """`setup` is its name in `luthien_stream.clients`. `needs` must be there, else it is not installed."""

    name: str
    packages: str
    setup: str
    command: tuple[str, ...]
    needs: Path
    scenarios: tuple[str, ...]
    environ: dict[str, str] = {}


def _python(name: str, packages: str, setup: str, environment: str, program: str, *scenarios: str) -> Client:
    """A program of ours in a virtual environment of its own."""
    interpreter = INSTALLED / environment / "bin" / "python"
    return Client(name, packages, setup, (str(interpreter), str(PROGRAMS / program)), interpreter, scenarios)


def _javascript(name: str, packages: str, program: str, *scenarios: str) -> Client:
    """A program of ours beside the npm packages."""
    return Client(name, packages, name, ("node", str(INSTALLED / "node" / program)), NODE, scenarios)


def _command(name: str, packages: str, setup: str, path: Path, *scenarios: str, program: str = "agents.py") -> Client:
    """A command, run by a program of ours."""
    words = (sys.executable, str(PROGRAMS / program))
    return Client(name, packages, setup, words, path, scenarios, {"CLIENT": str(path)})


def _named(prefix: str, scenarios: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{prefix} {name}" for name in scenarios)


def _all_formats(scenarios: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{name}" for format in ("messages", "chat", "responses") for name in _named(format, scenarios))


LONG = "a minute of silence"
CLIENTS = (
    _python(
        "anthropic-python",
        "anthropic 2.12.0",
        "anthropic-python",
        "newest",
        "anthropic_sdk.py",
        *(*ANTHROPIC, "tool runner", LONG),
    ),
    _python(
        "anthropic-python, older",
        "anthropic 0.125.0",
        "anthropic-python",
        "older",
        "anthropic_sdk.py",
        *(*ANTHROPIC, "tool runner"),
    ),
    _python("openai-python", "openai 3.3.0", "openai-python", "newest", "openai_sdk.py", *(*OPENAI, LONG)),
    _python("openai-python, older", "openai 1.109.1", "openai-python", "older", "openai_sdk.py", *OPENAI),
    _javascript("anthropic-js", "@anthropic-ai/sdk 1.12.0", "anthropic_sdk.mjs", *ANTHROPIC),
    _javascript("openai-js", "openai 7.57.0", "openai_sdk.mjs", *OPENAI),
    _javascript(
        "vercel",
        "ai 7.0.173, @ai-sdk/anthropic 4.0.105, @ai-sdk/openai 4.0.118",
        "vercel.mjs",
        *(*_all_formats(VERCEL), "messages thinking", "responses thinking", "embeddings"),
    ),
    _python(
        "langchain",
        "langchain-anthropic 1.7.7, langchain-openai 1.7.3",
        "langchain",
        "newest",
        "langchain_chat.py",
        *(*_all_formats(LANGCHAIN), "embeddings"),
    ),
    _command(
        "Claude Code",
        "@anthropic-ai/claude-code 2.1.330",
        "claude",
        NODE / ".bin" / "claude",
        *CLAUDE_CODE,
        program="claude_code.py",
    ),
    _command(
        "Codex",
        "@openai/codex 0.169.0",
        "codex",
        NODE / ".bin" / "codex",
        *_named("codex", (*AGENT, "thinking", "tools", "denied command", "error 400", "retry after a cut stream")),
    ),
    _command(
        "opencode",
        "opencode-ai 1.18.33",
        "opencode",
        NODE / ".bin" / "opencode",
        *_named("opencode messages", (*AGENT, "tools", "denied command")),
        *_named("opencode responses", ("streamed text", "unicode")),
        *_named("opencode chat", (*AGENT, "tools", "denied command")),
    ),
    _command(
        "Qwen Code",
        "@qwen-code/qwen-code 0.24.4",
        "qwen-code",
        NODE / ".bin" / "qwen",
        *_named("qwen", (*AGENT, "tools", "denied command")),
    ),
    _command(
        "aider",
        "aider-chat 0.86.2",
        "aider",
        INSTALLED / "aider" / "bin" / "aider",
        *_named("aider chat", ("text", *AGENT)),
        *_named("aider messages", ("text", *AGENT)),
    ),
    _command(
        "llm",
        "llm 0.30",
        "llm",
        INSTALLED / "llm" / "bin" / "llm",
        *_named("llm chat", ("text", *AGENT)),
    ),
)
