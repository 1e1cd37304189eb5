"""Answers to `POST /v1/embeddings`: vectors that are a function of their text, as numbers or packed."""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from typing import Any
from zlib import crc32

DIMENSIONS = 8


def embedded(body: dict[str, Any]) -> dict[str, Any]:
    """The answer to a parsed request: a vector for each text, or for each list of tokens."""
    given = body.get("input") or ""
    texts: Sequence[Any] = [given] if isinstance(given, str) or _is_tokens(given) else given
    packed = body.get("encoding_format") == "base64"
    size = body.get("dimensions") or DIMENSIONS
    data = [_one(number, vector(str(text), size), packed) for number, text in enumerate(texts)]
    count = sum(len(str(text).split()) for text in texts)
    usage = {"prompt_tokens": count, "total_tokens": count}
    return {"object": "list", "data": data, "model": body.get("model"), "usage": usage}


def vector(text: str, size: int = DIMENSIONS) -> list[float]:
    """The vector of a text; each number is exact in 32 bits."""
    return [(crc32(f"{number}/{text}".encode()) % 2048 - 1024) / 1024 for number in range(size)]


def _is_tokens(given: Any) -> bool:
    return bool(given) and isinstance(given[0], int)


def _one(number: int, found: list[float], packed: bool) -> dict[str, Any]:
    raw = base64.b64encode(struct.pack(f"<{len(found)}f", *found)).decode()
    return {"object": "embedding", "index": number, "embedding": raw if packed else found}
