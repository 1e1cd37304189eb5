"""Claude Code, one headless run a scenario; `CLIENT` is its command. Needs no package."""

from __future__ import annotations

import json
import os
import subprocess
from typing import Any

from reporting import main

ORDER = 'use Bash {"command": "%s", "description": "Do it"}'


def claude(model: str, prompt: str = "Hello there", *more: str) -> dict[str, Any]:
    """What it prints as JSON lines: the answers, the results of tools, and how the run ended."""
    words = [os.environ["CLIENT"], "-p", prompt, "--model", model, "--output-format", "stream-json", "--verbose", *more]
    done = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120)
    events = [json.loads(line) for line in done.stdout.split("\n") if line.startswith("{")]
    kept = [shown(event) for event in events if event.get("type") in ("assistant", "user", "result")]
    if not kept:
        return {"raised": "nothing was printed", "message": (done.stdout + done.stderr)[-1000:]}
    retries = sum(event.get("subtype") == "api_retry" for event in events)
    report = {"code": done.returncode, "retries": retries, "final": kept}
    return {**report, "raised": "error result"} if done.returncode else report


def shown(event: dict[str, Any]) -> Any:
    """An event without what differs from run to run."""
    if event["type"] == "result":
        usage = event.get("usage", {})
        tokens = {name: usage.get(name) for name in ("input_tokens", "output_tokens", "cache_read_input_tokens")}
        names = ("subtype", "is_error", "num_turns", "result", "stop_reason", "api_error_status")
        return {"type": "result", **{name: event.get(name) for name in names}, "usage": tokens}
    message = event["message"]
    if event["type"] == "user":
        return {"type": "user", "content": message["content"]}
    names = ("model", "content", "stop_reason", "usage")  # ids of its own messages are new each time
    return {"type": "assistant", "request_id": event.get("request_id"), **{name: message.get(name) for name in names}}


def with_bash(command: str) -> dict[str, Any]:
    return claude("act", ORDER % command, "--tools", "Bash", "--allowedTools", "Bash")


main(
    {
        "streamed text": lambda: claude("text-8"),
        "unicode": lambda: claude("unicode"),
        "thinking": lambda: claude("thinking-8"),
        "tools": lambda: with_bash("echo Lyon"),
        "denied command": lambda: with_bash("echo forbidden"),
        "error 400": lambda: claude("error-400"),
        "retry after 529": lambda: claude("flaky-529"),
        "retry after 503": lambda: claude("flaky-503"),
        "retry after 429": lambda: claude("flaky-429"),
        "retry after a cut stream": lambda: claude("flaky-break-3"),
        "silence": lambda: claude("silent-12"),
        "a minute of silence": lambda: claude("silent-66"),
    }
)
