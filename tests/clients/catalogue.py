"""The clients that are tried, where each is installed, and what it is asked to do."""

from __future__ import annotations

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


class Client(Struct, frozen=True):
    """`setup` is its name in `luthien_stream.clients`; `needs` must exist, else `make clients` has not been run."""

    name: str
    packages: str
    setup: str
    command: tuple[str, ...]
    needs: Path
    scenarios: tuple[str, ...]
    environ: dict[str, str] = {}


def python(environment: str, program: str) -> dict[str, object]:
    """A program of ours in a virtual environment of its own."""
    interpreter = INSTALLED / environment / "bin" / "python"
    return {"command": (str(interpreter), str(PROGRAMS / program)), "needs": interpreter}


def javascript(program: str) -> dict[str, object]:
    """A program of ours beside the npm packages."""
    return {"command": ("node", str(INSTALLED / "node" / program)), "needs": NODE}


CLIENTS = (
    Client(
        name="anthropic-python",
        packages="anthropic 2.12.0",
        setup="anthropic-python",
        scenarios=(*ANTHROPIC, "tool runner", "a minute of silence"),
        **python("newest", "anthropic_sdk.py"),
    ),
    Client(
        name="anthropic-python, older",
        packages="anthropic 0.125.0",
        setup="anthropic-python",
        scenarios=(*ANTHROPIC, "tool runner"),
        **python("older", "anthropic_sdk.py"),
    ),
    Client(
        name="openai-python",
        packages="openai 3.3.0",
        setup="openai-python",
        scenarios=(*OPENAI, "a minute of silence"),
        **python("newest", "openai_sdk.py"),
    ),
    Client(
        name="openai-python, older",
        packages="openai 1.109.1",
        setup="openai-python",
        scenarios=OPENAI,
        **python("older", "openai_sdk.py"),
    ),
)
