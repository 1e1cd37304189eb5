"""Libraries: the vendors' SDKs and what is built on them."""

from __future__ import annotations

from luthien_stream.clients import keys
from luthien_stream.clients.model import Gateway, Setup, Variable

_PYTHON_HEADER = ', default_headers={{"{header}": "{key}"}}'
_JS_HEADER = ", defaultHeaders: {{ '{header}': '{key}' }}"
_VERCEL_HEADER = ", headers: {{ '{header}': '{key}' }}"
_LITELLM_HEADER = ', extra_headers={{"{header}": "{key}"}}'
OPENAI_HEADERS = "OPENAI_CUSTOM_HEADERS"
ANTHROPIC_HEADERS = "ANTHROPIC_CUSTOM_HEADERS"
THREADS = (
    "The tool runners of the newest SDKs keep the conversation at the provider (`thread`). Where a policy needs the "
    "whole of it, the gateway refuses this in the way that makes the SDK send everything."
)


def openai_python(gateway: Gateway) -> Setup:
    """The `openai` package for Python."""
    return Setup(
        client="openai-python",
        title="OpenAI SDK for Python",
        checked="openai 3.3.0 and 1.109.1",
        variables=(Variable("OPENAI_BASE_URL", gateway.v1), *_openai(gateway)),
        code=f'client = OpenAI(base_url="{gateway.v1}"{keys.argument(gateway, _PYTHON_HEADER)})',
        notes=(f"Before version 3 {OPENAI_HEADERS} is not read: write it into the code.",)
        if gateway.mode == "both"
        else (),
    )


def anthropic_python(gateway: Gateway) -> Setup:
    """The `anthropic` package for Python."""
    return Setup(
        client="anthropic-python",
        title="Anthropic SDK for Python",
        checked="anthropic 2.12.0 and 0.125.0",
        variables=(Variable("ANTHROPIC_BASE_URL", gateway.url, "without /v1"), *_anthropic(gateway)),
        code=f'client = Anthropic(base_url="{gateway.url}"{keys.argument(gateway, _PYTHON_HEADER)})',
        notes=(THREADS,),
    )


def openai_js(gateway: Gateway) -> Setup:
    """The `openai` package for JavaScript."""
    return Setup(
        client="openai-js",
        title="OpenAI SDK for JavaScript",
        checked="openai 7.57.0",
        variables=(Variable("OPENAI_BASE_URL", gateway.v1), *_openai(gateway)),
        code=f"const client = new OpenAI({{ baseURL: '{gateway.v1}'{keys.argument(gateway, _JS_HEADER)} }})",
    )


def anthropic_js(gateway: Gateway) -> Setup:
    """The `@anthropic-ai/sdk` package for JavaScript."""
    return Setup(
        client="anthropic-js",
        title="Anthropic SDK for JavaScript",
        checked="@anthropic-ai/sdk 1.12.0",
        variables=(Variable("ANTHROPIC_BASE_URL", gateway.url, "without /v1"), *_anthropic(gateway)),
        code=f"const client = new Anthropic({{ baseURL: '{gateway.url}'{keys.argument(gateway, _JS_HEADER)} }})",
        notes=(THREADS,),
    )


def vercel(gateway: Gateway) -> Setup:
    """The Vercel AI SDK, which wants `/v1` for Anthropic too."""
    header = keys.argument(gateway, _VERCEL_HEADER)
    return Setup(
        client="vercel",
        title="Vercel AI SDK",
        checked="ai 7.0.173, @ai-sdk/openai 4.0.118, @ai-sdk/anthropic 4.0.105",
        variables=(
            Variable("OPENAI_BASE_URL", gateway.v1),
            Variable("ANTHROPIC_BASE_URL", gateway.v1, "with /v1, unlike everywhere else"),
            *keys.both_vendors(gateway),
        ),
        code=f"const openai = createOpenAI({{ baseURL: '{gateway.v1}'{header} }})\n"
        f"const anthropic = createAnthropic({{ baseURL: '{gateway.v1}'{header} }})",
    )


def langchain(gateway: Gateway) -> Setup:
    """LangChain's packages for both vendors."""
    header = keys.argument(gateway, _PYTHON_HEADER)
    return Setup(
        client="langchain",
        title="LangChain",
        checked="langchain-openai 1.7.3, langchain-anthropic 1.7.7",
        variables=(
            Variable("OPENAI_BASE_URL", gateway.v1),
            Variable("ANTHROPIC_BASE_URL", gateway.url, "without /v1"),
            *keys.both_vendors(gateway),
            *keys.headers(gateway, OPENAI_HEADERS, ANTHROPIC_HEADERS),
        ),
        code=f'ChatOpenAI(model=..., base_url="{gateway.v1}"{header})\n'
        f'ChatAnthropic(model=..., base_url="{gateway.url}"{header})',
    )


def litellm(gateway: Gateway) -> Setup:
    """litellm as a library."""
    header = keys.argument(gateway, _LITELLM_HEADER)
    return Setup(
        client="litellm",
        title="litellm, as a library",
        checked="litellm 1.106.2",
        variables=(
            Variable("OPENAI_API_BASE", gateway.v1),
            Variable("ANTHROPIC_API_BASE", gateway.url, "without /v1"),
            *keys.both_vendors(gateway),
        ),
        code=f'completion("openai/NAME", ..., api_base="{gateway.v1}"{header})\n'
        f'completion("anthropic/NAME", ..., api_base="{gateway.url}"{header})',
    )


def _openai(gateway: Gateway) -> tuple[Variable, ...]:
    return (*keys.openai(gateway), *keys.headers(gateway, OPENAI_HEADERS))


def _anthropic(gateway: Gateway) -> tuple[Variable, ...]:
    return (*keys.anthropic(gateway), *keys.headers(gateway, ANTHROPIC_HEADERS))
