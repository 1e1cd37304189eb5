"""The one place that knows litellm: how it is imported and told to keep still, how it is called, how it fails.

Importing it takes seconds and 200 MB, so `load` does it, in the process of `luthien-stream upstream` only.
"""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

import msgspec

from luthien_stream.errors import ConfigError, UpstreamError

QUIET = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else it fetches the newest from the network, in its import
    "LITELLM_MODE": "PRODUCTION",  # else it reads a .env file of the working folder
}
NEVER = {"num_retries": 0, "max_retries": 0}
"""The edge retries and falls back, on record."""
TIMEOUT_S = 600.0
"""How long a provider may be silent where its deployment says nothing; the edge has its own deadline besides."""
_SECRET = re.compile(r"key|token|secret|password|credential", re.I)
SHORTEST = 8
"""Characters from which a variable's value is taken for a secret."""


class LitellmFailed(UpstreamError):
    """litellm, or the provider behind it, failed."""

    def __init__(self, message: str, status: int, headers: Mapping[str, str]) -> None:
        """`status` and `headers` (names in lower case) are the provider's where it answered."""
        super().__init__(message)
        self.status = status
        self.headers = headers


class Stream(Protocol):
    """A streamed answer. `aclose` ends the provider's as well."""

    def __aiter__(self) -> AsyncIterator[dict[str, Any]]: ...
    async def aclose(self) -> None: ...


class Litellm:
    """The library, loaded. Everything raises `LitellmFailed`."""

    def __init__(self, module: Any) -> None:
        self._litellm = module

    async def chat(self, arguments: Mapping[str, Any]) -> tuple[Mapping[str, str], dict[str, Any] | Chunks]:
        """One chat completion: the provider's headers, and the body, or the chunks where `stream` is asked for."""
        try:
            answer = await self._litellm.acompletion(**{"timeout": TIMEOUT_S, **arguments, **NEVER})
        except Exception as error:
            raise failure(error) from error
        return _headers_of(answer), Chunks(answer) if arguments.get("stream") else dict(answer.model_dump())

    async def embed(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Embeddings of texts, as lists of numbers."""
        try:
            return dict((await self._litellm.aembedding(**{"timeout": TIMEOUT_S, **arguments, **NEVER})).model_dump())
        except Exception as error:
            raise failure(error) from error


class Chunks:
    """See `Stream`."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        try:
            async for chunk in self._stream:
                yield chunk.model_dump()
        except Exception as error:
            raise failure(error) from error

    async def aclose(self) -> None:
        """End the provider's answer."""
        await self._stream.aclose()


def _headers_of(answer: Any) -> dict[str, str]:
    """The headers of a provider's good answer, names in lower case: litellm keeps them behind a prefix."""
    kept = (getattr(answer, "_hidden_params", None) or {}).get("additional_headers") or {}
    named = {str(name).lower().removeprefix("llm_provider-"): str(value) for name, value in kept.items()}
    return {name: value for name, value in named.items() if value.isprintable()}


def load(environment: Mapping[str, str]) -> Litellm:
    """Import litellm with these variables set. Raises `ConfigError` where it is not installed."""
    os.environ.update({**environment, **QUIET})
    try:
        import litellm
    except ImportError as error:
        raise ConfigError(f"litellm cannot be imported ({error}): install luthien-stream again") from error
    litellm.telemetry = False
    litellm.suppress_debug_info = True
    litellm.disable_streaming_logging = True
    litellm.disable_hf_tokenizer_download = True
    # What a provider has no word for is refused by name, unless a deployment's own `drop_params` says otherwise.
    litellm.drop_params = False
    litellm.modify_params = False
    return Litellm(litellm)


def failure(error: Exception) -> LitellmFailed:
    """What litellm raised, with the provider's status, headers and words where there are any."""
    status = getattr(error, "provider_status_code", None) or getattr(error, "status_code", None) or 500
    headers = getattr(error, "litellm_response_headers", None)
    if not headers:
        headers = getattr(getattr(error, "response", None), "headers", None) or {}
    known = isinstance(status, int) and 400 <= status < 600
    return LitellmFailed(
        _masked(said(str(error))) or type(error).__name__,
        status if known else 500,
        {str(name).lower(): str(value) for name, value in dict(headers).items()},
    )


def _masked(text: str) -> str:
    """Without the keys that litellm found in the environment: the edge does not know them, providers repeat them."""
    for name, value in os.environ.items():
        if len(value) >= SHORTEST and _SECRET.search(name):
            text = text.replace(value, "[gateway credential]")
    return text


def said(text: str) -> str:
    """The provider's own words in what litellm writes around them; the whole where there are none."""
    text = text.removeprefix("litellm.")
    start, end = text.find("{"), text.rfind("}")
    try:
        error = msgspec.json.decode(text[start : end + 1])["error"]
        return str(error["message"])
    except (msgspec.MsgspecError, KeyError, TypeError):
        return text
