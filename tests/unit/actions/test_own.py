"""What belongs to the gateway itself."""

from __future__ import annotations

import pytest

from luthien_stream.actions.own import is_own


@pytest.mark.parametrize(
    ("path", "read", "write"),
    [
        (".luthien", True, True),
        ("a/.luthien/admin-token", True, True),
        ("~/x/luthien.yaml", True, True),
        ("LUTHIEN.YML", True, True),
        ("/var/lib/luthien-stream/redis", True, True),
        ("workers", False, True),
        ("./workers/x.py", False, True),
        ("/x/luthien-stream/workers/x.py", False, True),
        ("/x/luthien_stream/_workers/x.py", False, True),
        ("src/workers/x.py", False, False),
        ("workers.py", False, False),
        ("luthien.yaml.md", False, False),
    ],
)
def test_paths(path: str, read: bool, write: bool) -> None:
    """The folder and the configuration anywhere, `workers/` where it may be ours."""
    assert (is_own(path, "read"), is_own(path, "write")) == (read, write)
