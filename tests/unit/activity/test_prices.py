"""What tokens cost, by litellm's own table."""

from __future__ import annotations

import pytest

from luthien_stream.activity.prices import cost_of, per_token, price_map, prices_of
from luthien_stream.record.usage import Usage

KNOWN = "gpt-4o-mini"


def test_a_known_model_has_its_price() -> None:
    """USD for each kind of token, exact where the name is."""
    prices = price_map()[KNOWN]
    cost, estimated = cost_of(Usage(input=1000, cached=0, cache_write=0, output=10), KNOWN)
    expected = 1000 * prices["input_cost_per_token"] + 10 * prices["output_cost_per_token"]
    assert cost == pytest.approx(expected)
    assert not estimated


def test_a_dated_name_has_the_price_of_the_undated_one_as_an_estimate() -> None:
    """A release that the table does not know yet."""
    found = prices_of(f"{KNOWN}-2099-01-01")
    assert found is not None
    assert found == (price_map()[KNOWN], True)
    assert prices_of(f"lab/{KNOWN}") is not None


def test_an_unknown_model_has_no_price() -> None:
    """Rather none than a wrong one."""
    assert cost_of(Usage(input=1, cached=0, cache_write=0, output=1), "our-own-model") == (None, False)


def test_rates_a_token_are_given_for_models_with_prices() -> None:
    """In and out."""
    prices = price_map()[KNOWN]
    assert per_token([KNOWN, "our-own-model"]) == {
        KNOWN: (prices["input_cost_per_token"], prices["output_cost_per_token"])
    }
