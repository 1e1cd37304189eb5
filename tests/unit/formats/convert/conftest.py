"""What several tests of conversion share: the vendors' clients, and LiteLLM."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator

import pytest

from tests.unit.formats.convert.judge import ConvertJudges
from tests.unit.formats.convert.litellm_adapters import Adapters


@pytest.fixture(scope="module")
def convert_judges() -> Iterator[ConvertJudges]:
    """The vendors' clients."""
    judges = ConvertJudges()
    yield judges
    judges.close()


@pytest.fixture(scope="module")
def adapters() -> Adapters:
    """LiteLLM, if it is there; its own warnings are its own."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("litellm")
        return Adapters()
