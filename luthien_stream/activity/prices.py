"""What tokens cost: the price map that the litellm package carries as a file, read without importing litellm."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import structlog

from luthien_stream.record.usage import Usage

log = structlog.get_logger()
FILE = "model_prices_and_context_window_backup.json"
_RATES = {
    "input": "input_cost_per_token",
    "cached": "cache_read_input_token_cost",
    "cache_write": "cache_creation_input_token_cost",
    "output": "output_cost_per_token",
}
LONG = 200_000
"""Tokens of a prompt from which on some models cost more."""


@cache
def price_map() -> Mapping[str, Mapping[str, Any]]:
    """Prices by model, USD a token; empty, on record, where litellm or its file is not there."""
    found = importlib.util.find_spec("litellm")
    path = Path(found.origin).parent / FILE if found is not None and found.origin else None
    try:
        return {} if path is None else msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, Any]])
    except (OSError, msgspec.MsgspecError) as error:
        log.warning("prices_unreadable", error=type(error).__name__)
        return {}


def prices_of(model: str, provider: str = "") -> tuple[Mapping[str, Any], bool] | None:
    """The prices of a model, and whether they are of a near name only; None where none is known."""
    prices = price_map()
    for name in (model, f"{provider}/{model}"):
        if name in prices:
            return prices[name], False
    near = model.rpartition("/")[2]
    if near in prices:
        return prices[near], False
    undated = near.rsplit("-", 1)[0]
    if near.rpartition("-")[2].isdigit() and undated in prices:
        return prices[undated], True
    return None


def cost_of(usage: Usage, model: str, provider: str = "") -> tuple[float | None, bool]:
    """What it costs in USD, and whether that is an estimate; None where no price is known."""
    found = prices_of(model, provider)
    if found is None:
        return None, False
    prices, near = found
    whole = usage.input + usage.cached + usage.cache_write
    total = 0.0
    for name, field in _RATES.items():
        rate = prices.get(field)
        if whole > LONG and isinstance(prices.get(f"{field}_above_200k_tokens"), int | float):
            rate = prices[f"{field}_above_200k_tokens"]
        if not isinstance(rate, int | float):
            rate = prices.get(_RATES["input"], 0.0) if name in ("cached", "cache_write") else 0.0
        total += float(rate) * getattr(usage, name)
    return total, near
