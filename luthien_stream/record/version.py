"""Which form of files this release writes."""

from __future__ import annotations

KIND = "luthien-stream.calls"
VERSION = 1
