"""`GET /setup`: what to set for a client, with the address under which the asker reached the gateway."""

from __future__ import annotations

import re

import msgspec
from aiohttp import web

from luthien_stream.clients import render
from luthien_stream.clients.catalogue import CLIENTS, setups
from luthien_stream.clients.model import AuthMode, Gateway

_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
"""What may stand in text that people paste into a shell."""
_HEADERS = {"Cache-Control": "no-store", "Vary": "Host, Accept", "X-Content-Type-Options": "nosniff"}
MORE = "One of them:  curl {url}/setup/CLIENT   (as JSON with -H 'accept: application/json')"


class SetupPage:
    """Answers for a gateway with this kind of keys."""

    def __init__(self, mode: AuthMode) -> None:
        self._mode = mode

    async def all(self, request: web.Request) -> web.Response:
        """Every client: a list as text, everything as JSON."""
        gateway = self._gateway(request)
        if _wants_json(request):
            return _json([render.as_object(setup, gateway) for setup in setups(gateway)])
        return _text(render.overview(gateway, MORE.format(url=gateway.url)))

    async def one(self, request: web.Request) -> web.Response:
        """One client, or 404 with the list."""
        gateway, make = self._gateway(request), CLIENTS.get(request.match_info["client"])
        if make is None:
            return _text(render.overview(gateway, MORE.format(url=gateway.url)), 404)
        setup = make(gateway)
        return _json(render.as_object(setup, gateway)) if _wants_json(request) else _text(render.text(setup, gateway))

    def _gateway(self, request: web.Request) -> Gateway:
        host = request.headers.get("host", "")
        scheme = "https" if request.headers.get("x-forwarded-proto", "").lower() == "https" else "http"
        return Gateway(f"{scheme}://{host if _HOST.fullmatch(host) else _own_address(request)}", self._mode)


def _own_address(request: web.Request) -> str:
    """The address at which the connection arrived."""
    name = request.transport.get_extra_info("sockname") if request.transport is not None else None
    if name is None:
        return "127.0.0.1:8000"
    host, port = name[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _wants_json(request: web.Request) -> bool:
    return "application/json" in request.headers.get("accept", "")


def _text(body: str, status: int = 200) -> web.Response:
    return web.Response(status=status, text=body, content_type="text/plain", headers=_HEADERS)


def _json(value: object) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json", headers=_HEADERS)
