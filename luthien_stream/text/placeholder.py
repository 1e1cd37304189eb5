"""What stands in place of a secret: the same for the same secret over the turns of a session, and nothing to learn.

The four digits are of an HMAC under the session's name, or under a key from the configuration. They are few on purpose:
who guesses at a weak secret is told one thing in 65,536, so that thousands of guesses fit. Two secrets of one call with
the same digits are rare, and are never put back.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from luthien_stream.events.answer import ToolCall

MARK: Final = "secret:"
"""What every placeholder has, however it is written."""
PLACEHOLDER: Final = re.compile(r"‹secret:[0-9a-f]{4}›")


def placeholder(key: str, secret: str) -> str:
    """The placeholder of a secret."""
    return f"‹secret:{hmac.new(key.encode(), secret.encode(), 'sha256').hexdigest()[:4]}›"


def put_back(call: ToolCall, secrets: Mapping[str, str]) -> ToolCall:
    """Return a call whose arguments have the secrets again whose placeholders they had."""

    def known(value: Any) -> Any:
        if isinstance(value, str):
            return PLACEHOLDER.sub(lambda found: secrets.get(found.group(), found.group()), value)
        if isinstance(value, list):
            return [known(one) for one in value]
        if isinstance(value, dict):
            return {known(name): known(one) for name, one in value.items()}
        return value

    if call.kind == "custom":
        return call.with_args(known(call.arguments))
    try:
        changed = known(args := call.args)
    except (msgspec.DecodeError, RecursionError):
        return call
    return call if changed == args else call.with_args(msgspec.json.encode(changed).decode())


class Secrets:
    """The secrets that a request has, by placeholder. Of two with the same one neither is known."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._several: set[str] = set()
        self._known: dict[str, str] = {}

    def add(self, secret: str) -> str:
        """Learn a secret; return its placeholder."""
        name = placeholder(self._key, secret)
        if self._known.setdefault(name, secret) != secret:
            self._several.add(name)
        return name

    def certain(self) -> dict[str, str]:
        """All that are told apart."""
        return {name: secret for name, secret in self._known.items() if name not in self._several}
