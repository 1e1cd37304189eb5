"""What tokens cost: the price map that the litellm package carries as a file, read without importing litellm."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable, Mapping
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
_TIER = re.compile(r"_above_(\d+)k_tokens")
_DATE = re.compile(r"-(\d{8}|\d{4}-\d{2}-\d{2}|latest)")


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
    undated = _DATE.sub("", near)
    return (prices[undated], True) if undated in prices else None


def cost_of(usage: Usage, model: str, provider: str = "") -> tuple[float | None, bool]:
    """What it costs in USD, and whether that is an estimate; None where no price is known."""
    found = prices_of(model, provider)
    if found is None:
        return None, False
    prices, near = found
    whole = usage.input + usage.cached + usage.cache_write
    total = 0.0
    for name, field in _RATES.items():
        rate = _rate(prices, field, whole)
        if rate is None and name in ("cached", "cache_write"):
            rate = _rate(prices, _RATES["input"], whole)
        count = getattr(usage, name)
        if rate is None and count:
            return None, False
        total += (rate or 0.0) * count
    return total, near


def per_token(models: Iterable[str]) -> dict[str, tuple[float, float]]:
    """USD a token, in and out, of those models whose prices are known."""
    known = {model: found[0] for model in models if (found := prices_of(model)) is not None}
    rates = {
        model: (_rate(prices, _RATES["input"], 0), _rate(prices, _RATES["output"], 0))
        for model, prices in known.items()
    }
    return {model: (read, wrote) for model, (read, wrote) in rates.items() if read is not None and wrote is not None}


def _rate(prices: Mapping[str, Any], field: str, whole: int) -> float | None:
    """The price of one token in a prompt of so many: of the highest tier that the prompt is above."""
    tiers = [(0, prices.get(field))]
    for name, price in prices.items():
        if name.startswith(field) and (tier := _TIER.fullmatch(name, len(field))):
            tiers.append((int(tier[1]) * 1000, price))
    due = [(above, price) for above, price in tiers if isinstance(price, int | float) and whole >= above]
    return float(max(due)[1]) if due else None
