"""Counting tokens without a network: the `o200k_base` vocabulary that the litellm package carries.

Exact for OpenAI's models since GPT-4o, an estimate for others. It is loaded at the first count: half a second, and
some 75 MB from then on. The package is looked up, never imported.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from luthien_stream.errors import PolicyError

_VOCABULARY = "fb374d419588a4632f3f557e76b4b70aebbca790"
"""The name of o200k_base's file in a cache of tiktoken: a digest of the address that it is published at."""
_PLACE = "TIKTOKEN_CACHE_DIR"


def count_tokens(text: str) -> int:
    """Return how many tokens a text has; markers of a model's own count as the text that they are.

    Raises `PolicyError` where the vocabulary is not installed.
    """
    return len(_encoding().encode_ordinary(text))


@cache
def _encoding() -> Any:
    litellm = find_spec("litellm")
    place = Path(litellm.origin or "").parent / "litellm_core_utils" / "tokenizers" if litellm else Path()
    if not (place / _VOCABULARY).is_file():
        raise PolicyError("Tokens cannot be counted: install a release of litellm that carries its tokenizers")
    import tiktoken

    with _cached_in(place):
        return tiktoken.get_encoding("o200k_base")


@contextmanager
def _cached_in(place: Path) -> Iterator[None]:
    """Let tiktoken look into a folder, so that it never asks the network."""
    before = os.environ.get(_PLACE)
    os.environ[_PLACE] = str(place)
    try:
        yield
    finally:
        if before is None:
            del os.environ[_PLACE]
        else:
            os.environ[_PLACE] = before
