"""The vendors' clients, made once: that takes longer than reading with them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.formats.sdks import Judges


@pytest.fixture(scope="module")
def judges() -> Iterator[Judges]:
    """The clients."""
    judges = Judges()
    yield judges
    judges.close()
