"""LangChain over three wire formats; addresses and keys come from the environment."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from reporting import main


@tool
def get_weather(city: str, unit: str = "", command: str = "") -> str:
    """Tell the weather."""
    return "sunny"


@tool
def delete_files(city: str, unit: str = "", command: str = "") -> str:
    """Delete files."""
    return "gone"


def messages(model: str, retries: int = 0) -> Any:
    return ChatAnthropic(model=model, max_retries=retries, timeout=100, max_tokens=1000)


def chat(model: str, retries: int = 0) -> Any:
    return ChatOpenAI(model=model, max_retries=retries, timeout=100, stream_usage=True)


def responses(model: str, retries: int = 0) -> Any:
    return ChatOpenAI(model=model, max_retries=retries, timeout=100, use_responses_api=True, store=False)


def shown(message: Any) -> dict[str, Any]:
    """A message without the ids that LangChain makes for each run."""
    facts = message.model_dump(mode="json", exclude={"id"})
    said = facts["response_metadata"]
    facts["status"] = said.get("stop_reason") or said.get("finish_reason") or said.get("status")
    return facts


def whole(model: Any) -> Any:
    return {"final": shown(model.invoke("Hello there"))}


def gathered(model: Any, said: Any) -> tuple[Any, list[Any]]:
    chunks = list(model.stream(said))
    message = chunks[0]
    for chunk in chunks[1:]:
        message += chunk
    return message, [type(chunk.content).__name__ for chunk in chunks]


def streamed(model: Any) -> Any:
    message, chunks = gathered(model, "Hello there")
    return {"events": chunks, "final": shown(message)}


def two_turns(model: Any, used: Any) -> Any:
    """The answer goes back with a result for each of its calls."""
    agent, said = model.bind_tools([used]), [HumanMessage("Hello there")]
    first = agent.invoke(said)
    results = [ToolMessage(used.invoke(call["args"]), tool_call_id=call["id"]) for call in first.tool_calls]
    second = agent.invoke([*said, first, *(results or [HumanMessage("And now?")])])
    return {"final": [shown(first), shown(second)]}


def scenarios(format: str, make: Callable[..., Any]) -> dict[str, Callable[[], Any]]:
    """The scenarios of one wire format."""
    runs: dict[str, Callable[[], Any]] = {
        "text": lambda: whole(make("text-8")),
        "streamed text": lambda: streamed(make("text-8")),
        "unicode": lambda: streamed(make("unicode")),
        "thinking": lambda: streamed(make("thinking-8")),
        "tools": lambda: two_turns(make("tools"), get_weather),
        "parallel tools": lambda: two_turns(make("parallel-tools-3"), get_weather),
        "denied tools": lambda: two_turns(make("tools"), delete_files),
        "error 400": lambda: whole(make("error-400")),
        "error 503": lambda: streamed(make("error-503")),
        "retry after 503": lambda: whole(make("flaky-503", 2)),
        "cut stream": lambda: streamed(make("break-5")),
        "silence": lambda: streamed(make("silent-12")),
    }
    return {f"{format} {name}": run for name, run in runs.items()}


def embeddings() -> Any:
    embedder = OpenAIEmbeddings(model="text-embedding-3-small", check_embedding_ctx_length=False, max_retries=0)
    return {"final": embedder.embed_documents(["Hello", "there"])}


main(
    {
        **scenarios("messages", messages),
        **scenarios("chat", chat),
        **scenarios("responses", responses),
        "embeddings": partial(embeddings),
    }
)
