"""Built-in policies as a configuration makes them."""

from __future__ import annotations

from typing import Any

import msgspec

from luthien_stream.policy import Policy
from luthien_stream.policy.catalogue import find


def made(name: str, **config: Any) -> Policy:
    """The built-in policy `name`, configured as by `with:`."""
    return msgspec.convert(config, find(name))
