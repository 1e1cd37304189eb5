"""Recorded calls through policies again: verification, counterfactuals, backtests, and a provider of recordings.

`from luthien_stream import replay` gives this package, which is the function `in_python.replay` too.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Package(ModuleType):
    def __call__(self, *args: Any, **options: Any) -> Any:
        from luthien_stream.replay.in_python import replay

        return replay(*args, **options)


sys.modules[__name__].__class__ = _Package
