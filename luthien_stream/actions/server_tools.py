"""Tools that the provider runs by itself, in a request of any format: with them an agent goes past its gates."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from luthien_stream.core.lens import Request, RequestPart

_OF_CLIENT = re.compile(
    r"|function|custom|namespace|tool_search\w*|image_generation|apply_patch|local_shell|shell|grammar"
    r"|(?:bash|text_editor|computer|memory)(?:_\w+)?"
)
"""Types of tools that the client runs, or that reach nothing."""
_FIELDS = ("mcp_servers", "web_search_options", "plugins", "search_parameters", "container")
"""Fields that ask for such tools without `tools`; `container` is where code runs."""
_SEARCHING = re.compile(r"-search-preview|-search-api|:online$|(?:^|/)sonar|-deep-research")
"""Models that search by themselves."""


def server_tools(request: Request) -> list[str]:
    """Names of the provider's own tools in a request, of fields that ask for some, and of a model that has some."""
    found = [_name(tool) for tool in _tools(request.get("tools")) if _is_servers(tool)]
    found += [field for field in _FIELDS if request.get(field) not in (None, [])]
    return found + ([request.model] if _SEARCHING.search(request.model) else [])


def without_server_tools(request: Request) -> Request:
    """The request without them. A model that searches by itself stays."""
    tools = request.get("tools")
    kept = _kept(tools)
    if kept != tools:
        choice = request.get("tool_choice")
        names = {name for tool in _tools(tools) if _is_servers(tool) for name in (_name(tool), _type(tool))}
        if not kept or (
            isinstance(choice, dict) and {choice.get("name"), choice.get("type"), choice.get("server_label")} & names
        ):
            request = request.unset("tool_choice")
        request = request.set("tools", kept) if kept else request.unset("tools").unset("parallel_tool_calls")
    for field in _FIELDS:
        request = request.unset(field)
    return request


def remote_files(request: Request) -> Iterator[tuple[RequestPart, str]]:
    """Files and images that the provider would fetch, with the part that they are in, and their URL."""
    for part in request.parts():
        if part.kind in ("image", "other", "tool_result") and part.path:
            value = _at(request.get(str(part.path[0])), part.path[1:])
            yield from ((part, url) for url in _urls(value))


def _kept(tools: Any) -> Any:
    if not isinstance(tools, list):
        return tools
    kept = [_inside(tool) for tool in tools if not _is_servers(tool)]
    return [tool for tool in kept if not (isinstance(tool, dict) and tool.get("tools") == [])]


def _inside(tool: Any) -> Any:
    """A namespace without the provider's tools in it."""
    if isinstance(tool, dict) and isinstance(tool.get("tools"), list):
        return {**tool, "tools": _kept(tool["tools"])}
    return tool


def _tools(tools: Any) -> Iterator[Any]:
    for tool in tools if isinstance(tools, list) else ():
        yield tool
        if isinstance(tool, dict):
            yield from _tools(tool.get("tools"))


def _is_servers(tool: Any) -> bool:
    if not isinstance(tool, dict):
        return False
    if _type(tool) == "shell":
        environment = tool.get("environment")
        return isinstance(environment, dict) and "container" in str(environment.get("type"))
    return _OF_CLIENT.fullmatch(_type(tool)) is None or bool({"google_search", "google_search_retrieval"} & tool.keys())


def _type(tool: Any) -> str:
    return str(tool.get("type") or "")


def _name(tool: Any) -> str:
    return str(tool.get("name") or tool.get("server_label") or tool.get("mcp_server_name") or _type(tool) or "tool")


def _at(value: Any, path: Sequence[str | int]) -> Any:
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _urls(value: Any) -> Iterator[str]:
    """URLs in the fields that have files."""
    match value:
        case list():
            for one in value:
                yield from _urls(one)
        case dict():
            for name, one in value.items():
                url = one.get("url") if isinstance(one, dict) else one
                if name in ("url", "image_url", "file_url", "video_url", "audio_url") and isinstance(url, str):
                    if not url.startswith("data:"):
                        yield url
                elif name in ("source", "content", "output", "file", "input_image", "input_file"):
                    yield from _urls(one)
