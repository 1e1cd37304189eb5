"""A request without a format: what the readers make of a client's body, and the writers of a provider's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from msgspec import Struct, field

from luthien_stream.formats.convert.seal import Seal

ToolKind = Literal["function", "custom", "local_shell"]


class Text(Struct, frozen=True):
    """Text of anybody."""

    text: str
    refusal: bool = False


class Image(Struct, frozen=True):
    """An image: `data` in base64 with its media type, or a URL."""

    path: str
    data: str = ""
    media_type: str = ""
    url: str = ""
    detail: str = ""


class Document(Struct, frozen=True):
    """A PDF: `data` in base64, or a URL."""

    path: str
    data: str = ""
    url: str = ""
    name: str = ""


class Reasoning(Struct, frozen=True):
    """What a model thought in an earlier turn."""

    text: str
    seal: Seal


class ToolUse(Struct, frozen=True):
    """A call that the model made. `arguments` is a JSON object as text, for custom tools the input itself."""

    id: str
    name: str
    arguments: str
    path: str
    kind: ToolKind = "function"


class ToolResult(Struct, frozen=True):
    """What came of a call."""

    id: str
    content: tuple[Text | Image | Document, ...]
    failed: bool = False
    kind: ToolKind = "function"


Part = Text | Image | Document | Reasoning | ToolUse | ToolResult


class Turn(Struct, frozen=True):
    """One turn; results of tools are the user's."""

    role: Literal["user", "assistant", "system"]
    parts: tuple[Part, ...]
    path: str


class Tool(Struct, frozen=True):
    """A tool that the model may call."""

    name: str
    path: str
    description: str = ""
    schema: dict[str, Any] | None = None
    """JSON Schema of the arguments, None if there are none (or free text, for a custom tool)."""
    strict: bool | None = None
    kind: ToolKind = "function"
    namespace: str = ""
    """The group that the client has it in: other formats know the tool as `<namespace>__<name>`."""
    grammar: dict[str, Any] | None = None
    """The form of a custom tool's input, as OpenAI's Responses spell it."""


class Choice(Struct, frozen=True):
    """Which tool the model shall call. `name` goes with `tool`."""

    mode: Literal["auto", "any", "none", "tool"]
    name: str = ""


class AnswerFormat(Struct, frozen=True):
    """The form of the answer: JSON of a schema, or any JSON object if `schema` is None."""

    path: str
    schema: dict[str, Any] | None = None
    name: str = ""
    description: str = ""
    strict: bool | None = None


class Effort(Struct, frozen=True):
    """How much the model shall think. All None or False: as much as it likes."""

    level: str | None = None
    """none, minimal, low, medium, high, xhigh or max."""
    budget: int | None = None
    """Tokens."""
    shown: str = ""
    """Whether the thoughts are wanted: auto, concise, detailed; empty for the provider's default."""


class Conversation(Struct, kw_only=True):
    """A request. What the client did not say is None or empty."""

    words: dict[str, str]
    """How the client's format spells the fields that not every format has: stop, service_tier, ..."""
    system: list[str] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    tools: list[Tool] = field(default_factory=list)
    choice: Choice | None = None
    parallel: bool | None = None
    limit: int | None = None
    """Tokens of the answer, thinking included."""
    stop: list[str] = field(default_factory=list)
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    answer_format: AnswerFormat | None = None
    effort: Effort | None = None
    verbosity: str | None = None
    user: str = ""
    tier: str | None = None
    """As OpenAI spells it: auto, default, flex, ..."""
    stream: bool = False
    cached: bool = False
    """The client marked what shall be cached, or named a cache."""
    left_out: list[str] = field(default_factory=list)
    """What the client offers and other providers cannot give, for the record."""
    shared: dict[str, Any] = field(default_factory=dict)
    """Fields that OpenAI's two formats spell alike and Anthropic's has no words for; none changes an answer."""


def leading(turns: Sequence[Turn]) -> tuple[list[str], list[Turn]]:
    """The system's texts before the conversation, and the conversation."""
    begun = next((at for at, turn in enumerate(turns) if turn.role != "system"), len(turns))
    texts = [part.text for turn in turns[:begun] for part in turn.parts if isinstance(part, Text)]
    return texts, list(turns[begun:])
