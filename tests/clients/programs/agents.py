"""Other agents and tools, one headless run a scenario; `CLIENT` is the command. Needs no package."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reporting import main

HELLO = "Hello there"
ORDER = 'use %s {"command": "%s", "description": "Do it"}'
NO_FRILLS = ["--no-git", "--no-check-update", "--analytics-disable", "--no-show-model-warnings"]
CHUNK = re.compile(r"Chunk ID: \w+|Wall time: [\d.]+ seconds")
"""What Codex adds to a command's output, new each time."""
CLIENT = os.environ["CLIENT"]


def ran(*words: str, said: str = "") -> subprocess.CompletedProcess[str]:
    """Run the client with a text on its standard input."""
    return subprocess.run([CLIENT, *words], input=said, capture_output=True, text=True, timeout=150)


def objects(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """What it printed as JSON lines."""
    return [json.loads(line) for line in done.stdout.split("\n") if line.startswith("{")]


def ending(done: subprocess.CompletedProcess[str], final: Any) -> dict[str, Any]:
    """A report; where it failed or said nothing, with what it said."""
    if done.returncode == 0 and final:
        return {"final": final}
    return {"raised": f"exit code {done.returncode}", "final": final}


def codex(model: str, said: str = HELLO) -> dict[str, Any]:
    """Codex, with the arguments that `luthien-stream run` gives it."""
    given = json.loads(os.environ["SETUP_ARGUMENTS"])
    flags = ["--json", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "-m", model]
    done = ran(*given, "exec", *flags, said)
    items = [event["item"] for event in objects(done) if event["type"] == "item.completed"]
    kept = [{k: v for k, v in item.items() if k != "id"} for item in items if item["type"] != "error"]
    ended = [event for event in objects(done) if event["type"] in ("turn.completed", "turn.failed")]
    return ending(done, json.loads(CHUNK.sub("", json.dumps([kept, ended]))))


def codex_command(command: str) -> dict[str, Any]:
    return codex("act", f'use exec_command {{"cmd": "{command}"}}')


def opencode(model: str, said: str = HELLO) -> dict[str, Any]:
    """opencode, asked on standard input."""
    done = ran("run", "--model", model, "--format", "json", said=said)
    kept = []
    for event in objects(done):
        part = event.get("part", {})
        state = part.get("state", {})
        facts = {name: part.get(name) for name in ("type", "text", "tool", "reason", "tokens")}
        kept.append({**facts, "input": state.get("input"), "output": state.get("output"), "error": event.get("error")})
    return ending(done, kept)


def qwen(model: str, said: str = HELLO) -> dict[str, Any]:
    """Qwen Code."""
    done = ran("--auth-type", "openai", "-m", model, "--yolo", "-p", said, "--output-format", "stream-json")
    messages = [event["message"]["content"] for event in objects(done) if event["type"] in ("assistant", "user")]
    results = [event for event in objects(done) if event["type"] == "result"]
    return ending(done, [messages, [(result.get("is_error"), result.get("result")) for result in results]])


def aider(model: str) -> dict[str, Any]:
    """aider, which prints for people."""
    done = ran("--model", model, *NO_FRILLS, "--yes-always", "--no-stream", "--message", HELLO)
    return ending(done, _words_after_map(done.stdout))


def aider_streamed(model: str) -> dict[str, Any]:
    done = ran("--model", model, *NO_FRILLS, "--yes-always", "--no-pretty", "--message", HELLO)
    return ending(done, _words_after_map(done.stdout))


def _words_after_map(text: str) -> str:
    """The answer, without the way that lines are broken and aider's own count of tokens."""
    answer = text.partition("Repo-map: disabled")[2].partition("Tokens: ")[0]
    return re.sub(r"\s+", " ", answer).strip()


def llm(model: str, said: str = HELLO, *more: str) -> dict[str, Any]:
    """llm, with a model that its own file of models names."""
    folder = Path.home() / "llm"
    folder.mkdir(exist_ok=True)
    (folder / "extra-openai-models.yaml").write_text(f'- {{model_id: "{model}", model_name: "{model}"}}\n')
    done = subprocess.run(
        [CLIENT, "-m", model, *more, said],
        env={**os.environ, "LLM_USER_PATH": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=150,
    )
    return ending(done, done.stdout)


def texts(name: str, run: Callable[[str], Any], prefix: str) -> dict[str, Callable[[], Any]]:
    """The scenarios without tools of one client."""
    return {
        f"{name}streamed text": lambda: run(f"{prefix}text-8"),
        f"{name}unicode": lambda: run(f"{prefix}unicode"),
        f"{name}retry after 503": lambda: run(f"{prefix}flaky-503"),
        f"{name}silence": lambda: run(f"{prefix}silent-12"),
    }


main(
    {
        **texts("codex ", codex, ""),
        "codex thinking": lambda: codex("thinking-8"),
        "codex tools": lambda: codex_command("echo Lyon"),
        "codex denied command": lambda: codex_command("echo forbidden"),
        "codex retry after a cut stream": lambda: codex("flaky-break-3"),
        "codex error 400": lambda: codex("error-400"),
        **texts("opencode messages ", opencode, "anthropic/"),
        **texts("opencode responses ", opencode, "openai/"),
        **texts("opencode chat ", opencode, "compatible/"),
        "opencode messages tools": lambda: opencode("anthropic/act", ORDER % ("bash", "echo Lyon")),
        "opencode messages denied command": lambda: opencode("anthropic/act", ORDER % ("bash", "echo forbidden")),
        "opencode chat tools": lambda: opencode("compatible/act", ORDER % ("bash", "echo Lyon")),
        "opencode chat denied command": lambda: opencode("compatible/act", ORDER % ("bash", "echo forbidden")),
        **texts("qwen ", qwen, ""),
        "qwen tools": lambda: qwen("act", ORDER % ("run_shell_command", "echo Lyon")),
        "qwen denied command": lambda: qwen("act", ORDER % ("run_shell_command", "echo forbidden")),
        **texts("aider chat ", aider_streamed, "openai/"),
        **texts("aider messages ", aider_streamed, "anthropic/"),
        "aider chat text": lambda: aider("openai/text-8"),
        "aider messages text": lambda: aider("anthropic/text-8"),
        **texts("llm chat ", llm, ""),
        "llm chat text": lambda: llm("text-8", HELLO, "--no-stream"),
    }
)
