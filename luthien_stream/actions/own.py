"""What belongs to the gateway itself: an agent that can change it is not guarded by it.

The folder and the configuration are guarded wherever they lie, for reading too: they hold the admin token and keys.
`workers/` is a common name: it is guarded against writing, where it is the working directory's own or lies below a
folder named after us.
"""

from __future__ import annotations

import re
from typing import Literal

Use = Literal["read", "write"]

_GUARDED = re.compile(
    r"(?:^|[/=:@])(?:\.luthien(?:/|$)|luthien\.ya?ml$|luthien-stream/(?:redis|postgres|admin-token))", re.I
)
_WRITTEN = re.compile(r"^(?:\./+)*workers(?:/+[^/]*)?/*$|(?:^|/)[^/]*luthien[^/]*/(?:.*/)?_?workers(?:/|$)", re.I)


def is_own(path: str, use: Use = "write") -> bool:
    """True if reading or writing `path` (normalised as far as the caller can) would touch the gateway's own files."""
    return bool(_GUARDED.search(path)) or (use == "write" and bool(_WRITTEN.search(path)))
