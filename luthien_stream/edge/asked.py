"""What a client asked, read and checked: all that the rest of the edge needs of a request."""

from __future__ import annotations

from typing import Any, Literal, Protocol

from msgspec import Struct

from luthien_stream.config.model import FormatName, OnDisconnect
from luthien_stream.core.lens import Lens
from luthien_stream.edge.auth import Caller
from luthien_stream.edge.credentials import Vault
from luthien_stream.edge.routing import Route
from luthien_stream.events.log import Header
from luthien_stream.policy.context import CallFacts


class View(Protocol):
    """A request's body, as far as the edge reads it."""

    @property
    def body(self) -> bytes:
        """The bytes for the provider."""

    @property
    def model(self) -> str: ...
    @property
    def streamed(self) -> bool: ...
    def get(self, field: str) -> Any:
        """A top-level field, parsed; None if absent."""

    def set(self, field: str, value: Any) -> View: ...
    def set_model(self, model: str) -> View: ...


class Published(Struct, frozen=True):
    """A request as the log has it: without its credentials."""

    query: str
    headers: tuple[Header, ...]
    body: bytes
    client: str
    session: str
    user: str


class Asked(Struct, frozen=True):
    """One admitted request. What holds credentials is here only, in memory."""

    format: FormatName
    lens: Lens
    path: str
    query: str
    """As it came."""
    headers: tuple[Header, ...]
    """As they came, names in lower case."""
    view: View
    route: Route
    caller: Caller
    """Who asks, with the credential that may open a provider."""
    vault: Vault
    published: Published
    sender: tuple[Header, ...] = ()
    """All credentials that came."""
    on_disconnect: OnDisconnect = "cancel"
    sent: View | None = None
    """The body as it came, where a history was put into `view`."""
    method: str = "POST"
    plain: bool = False
    """No codec reads this call: it passes as it is."""
    spoken: FormatName | Literal[""] = ""
    """The format that the caller's own credential was sent for, where the request is in another one."""
    bypass: str = ""
    """Why no policy is shown it, where there are policies."""

    @property
    def facts(self) -> CallFacts:
        """What decides which policies take part."""
        shown = self.published
        return CallFacts(model=self.view.model, key=self.caller.key, user=shown.user, session=shown.session)
