"""Conversion between wire formats, next to the provider: requests one way, answers the other.

Each format has a reader and a writer, for requests and for answers, with a neutral form between. `docs/conversion.md`
lists what is carried, what is left out because it changes nothing, and what is refused.
"""

from __future__ import annotations

from luthien_stream.formats.convert.conversion import Conversion, Transcoder

__all__ = ["Conversion", "Transcoder"]
