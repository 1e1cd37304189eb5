"""What is asked of a model for a policy: the released request or one of the policy's own, and whose key pays for it."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from luthien_stream.bus.port import Bus
from luthien_stream.config.model import FormatName
from luthien_stream.config.targets import DEMO
from luthien_stream.core.lens import Lens
from luthien_stream.edge.asked import Asked, Published, View
from luthien_stream.edge.auth import Caller
from luthien_stream.edge.credentials import Vault, cut_body, without_credentials
from luthien_stream.edge.draw import NoCredential
from luthien_stream.edge.provider import Providers
from luthien_stream.edge.routing import Route, Router, hide_keys
from luthien_stream.events import log
from luthien_stream.events.log import Header
from luthien_stream.formats.convert.conversion import PATHS


class Parent(Struct, frozen=True):
    """The call that a draw is for, as far as that goes on mattering."""

    asked: Asked
    released: log.RequestReleased | None = None


class Drawn:
    """Makes requests for one configuration."""

    def __init__(self, bus: Bus, router: Router, providers: Providers, lenses: Mapping[str, Lens]) -> None:
        self._bus, self._router, self._providers, self._lenses = bus, router, providers, lenses

    async def asked(self, parent: Parent, event: log.SampleRequested) -> Asked:
        """Return what is asked for the call `parent`. Raises `ClientError` and `BusError`."""
        came, format = parent.asked, _format(event.format or parent.asked.format)
        route = self._router.route(event.model, format)
        hide_keys(came.vault, route)
        own = _own_credential(came, route)
        view = await self._view(parent, event, format, unmasked=event.why == "sample" or route.name == came.route.name)
        same = format == came.format
        headers = came.headers if same else _few(came.headers)
        return Asked(
            format=format,
            lens=self._lenses[format],
            path=came.path if same else PATHS[format],
            query=_query(came, route) if same else "",
            headers=headers,
            view=view,
            route=route,
            caller=Caller(came.caller.key, own),
            vault=came.vault,
            published=_published(came.vault, came.published, view, same=same),
            spoken=came.format if own else "",
        )

    async def _view(self, parent: Parent, event: log.SampleRequested, format: FormatName, *, unmasked: bool) -> View:
        if event.body or event.body_ref:
            body = await self._bus.get_body(event.body_ref) if event.body_ref else event.body
            view: View = self._lenses[format].request(parent.asked.vault.unmask(body) if unmasked else body)
        else:
            view = await self._providers.released(parent.asked, parent.released)
        return view if view.model == event.model else view.set_model(event.model)


def _own_credential(came: Asked, route: Route) -> tuple[Header, ...]:
    """The client's own, where it was sent for this very provider; else none. Raises `NoCredential`."""
    provider = route.provider
    if provider.passthrough and route.name == came.route.name and came.format in provider.formats and came.caller.own:
        return came.caller.own
    if provider.passthrough and not provider.api_key and route.name != DEMO:
        raise NoCredential(
            f"The model {route.model!r} of the provider {route.name!r} was asked for by a policy, and no key is there "
            f"for it: set providers.{route.name}.api_key"
        )
    return ()


def _query(came: Asked, route: Route) -> str:
    """What stands in the query is for the provider that the client meant, if it is a credential."""
    return came.query if route.name == came.route.name else without_credentials(came.query)


def _published(vault: Vault, came: Published, view: View, *, same: bool) -> Published:
    return Published(
        query=came.query if same else "",
        headers=came.headers if same else _few(came.headers),
        body=cut_body(vault, view.body),
        client=came.client,
        session=came.session,
        user=came.user,
    )


def _few(headers: tuple[Header, ...]) -> tuple[Header, ...]:
    """Headers for a request in another format than the client's."""
    return (("content-type", "application/json"), *(h for h in headers if h[0] in ("user-agent", "anthropic-beta")))


def _format(name: str) -> FormatName:
    if name not in PATHS:
        raise NoCredential(f"The format {name!r} is not known here")
    return name  # type: ignore[return-value]
