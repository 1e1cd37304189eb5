"""What stands in place of a secret: the same for the same secret over the turns of a session, and nothing to learn.

The four digits are of an HMAC under the session's name, or under a key from the configuration. They are few on purpose:
who guesses at a weak secret is told one thing in 65,536, so that thousands of guesses fit. Two secrets of one call with
the same digits are rare, and are never put back.
"""

from __future__ import annotations

import hmac
import re
from typing import Final

PLACEHOLDER: Final = re.compile(r"‹secret:[0-9a-f]{4}›")


def placeholder(key: str, secret: str) -> str:
    """The placeholder of a secret."""
    return f"‹secret:{hmac.new(key.encode(), secret.encode(), 'sha256').hexdigest()[:4]}›"
