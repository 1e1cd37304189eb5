"""The words of a client's setup."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

KEY = "YOUR-GATEWAY-KEY"
"""Stands where the gateway's key goes."""
KEY_VARIABLE = "LUTHIEN_KEY"
"""The environment variable that `run` and shells take the gateway's key from."""
KEY_HEADER = "x-luthien-key"
AuthMode = Literal["passthrough", "keys", "both"]


class Gateway(Struct, frozen=True):
    """Where the gateway is, `http://host:port`, and whether it wants a key of its own."""

    url: str
    mode: AuthMode = "passthrough"

    @property
    def v1(self) -> str:
        """The base URL for clients that want `/v1` in it: OpenAI's, and Vercel's for both vendors."""
        return f"{self.url}/v1"


class Variable(Struct, frozen=True):
    """An environment variable; `why` is a sentence for people."""

    name: str
    value: str
    why: str = ""


class Switch(Struct, frozen=True):
    """An environment variable that one may want. `restores`: it only brings back what the client does without a
    gateway, so `run` sets it unless the user has."""

    name: str
    value: str
    why: str
    restores: bool = False


class Snippet(Struct, frozen=True):
    """Lines for a configuration file of the client."""

    path: str
    text: str


class Setup(Struct, frozen=True):
    """All that a client needs. `code` is the same for people who write it into a program."""

    client: str
    title: str
    checked: str
    """The versions that these names were looked up in."""
    variables: tuple[Variable, ...] = ()
    files: tuple[Snippet, ...] = ()
    code: str = ""
    arguments: tuple[str, ...] = ()
    """What `run` puts between the command and its own arguments."""
    switches: tuple[Switch, ...] = ()
    notes: tuple[str, ...] = ()
