"""What a client asked, read and checked: all that the rest of the edge needs of a request."""

from __future__ import annotations

from msgspec import Struct

from luthien_stream.config.model import FormatName
from luthien_stream.core.lens import Lens, Request
from luthien_stream.edge.auth import Caller
from luthien_stream.edge.credentials import Vault
from luthien_stream.edge.routing import Route
from luthien_stream.events.log import Header


class Published(Struct, frozen=True):
    """A request as the log has it: without its credentials."""

    query: str
    headers: tuple[Header, ...]
    body: bytes
    client: str
    session: str


class Asked(Struct, frozen=True):
    """One admitted request. What holds credentials is here only, in memory."""

    format: FormatName
    lens: Lens
    path: str
    query: str
    """As it came."""
    headers: tuple[Header, ...]
    """As they came, names in lower case."""
    view: Request
    """The body, parsed as far as needed."""
    route: Route
    caller: Caller
    """Who asks, with the credential that may open a provider."""
    vault: Vault
    published: Published
