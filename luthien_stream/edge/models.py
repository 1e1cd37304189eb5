"""`GET /v1/models`: one path for two vendors' lists. Configured models where there are any, else the provider's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

from luthien_stream.config.model import Auth, FormatName
from luthien_stream.edge import auth, wire
from luthien_stream.edge.ingress import headers_of
from luthien_stream.edge.provider import Providers
from luthien_stream.edge.refusals import ModelUnknown, RequestInvalid
from luthien_stream.edge.routing import DEMO_MODELS, Route, Router
from luthien_stream.errors import UpstreamError
from luthien_stream.upstream.port import Answer, UpstreamProtocol

LIST_BYTES = 4 << 20
"""Bytes that a provider's list may have."""
PAGE, LONGEST_PAGE = 20, 1000
"""Models on a page where Anthropic's clients do not say, and at most."""
_MADE = 1735689600
_MADE_TEXT = "2025-01-01T00:00:00Z"


class Models:
    """Lists models in the dialect of whoever asks."""

    def __init__(self, settings: Auth, router: Router, providers: Providers) -> None:
        self._auth = settings
        self._router = router
        self._providers = providers

    async def all(self, request: web.Request, format: FormatName) -> web.Response:
        """Answer `GET /v1/models`. Raises `Refusal` and `UpstreamError`."""
        caller = auth.authenticate(self._auth, dict(headers_of(request)))
        names = [*self._router.listed(), *DEMO_MODELS]
        vendor = self._router.vendor(format)
        if self._router.rules or vendor is None:
            return _json(_list(format, names, request.query))
        credential = auth.provider_headers(vendor.name, vendor.provider, format, caller)
        if vendor.provider.passthrough and not credential:
            return _json(_list(format, names, request.query))
        return await self._vendors(request, vendor, credential, format)

    async def one(self, request: web.Request, format: FormatName, name: str) -> web.Response:
        """Answer `GET /v1/models/{id}`. Raises `Refusal` and `UpstreamError`."""
        caller = auth.authenticate(self._auth, dict(headers_of(request)))
        if name in DEMO_MODELS or (self._router.rules and self._router.route(name, format)):
            return _json(_model(format, name))
        if any(step in ("", ".", "..") for step in name.replace("\\", "/").split("/")):
            raise RequestInvalid("The model's name could be read as another path")
        vendor = self._router.vendor(format)
        if vendor is None:
            raise ModelUnknown(f"The model {name!r} is not configured here")
        credential = auth.provider_headers(vendor.name, vendor.provider, format, caller)
        return await self._vendors(request, vendor, credential, format)

    async def _vendors(
        self, request: web.Request, vendor: Route, credential: list[tuple[str, str]], format: FormatName
    ) -> web.Response:
        """The provider's own answer; the demo models join the last page of a list."""
        headers = wire.to_provider(headers_of(request), credential, vendor.provider)
        opened = self._providers.of(vendor).open(
            vendor.provider,
            request.rel_url.raw_path,
            request.rel_url.raw_query_string,
            headers,
            b"",
            method="GET",
        )
        async with opened as answer:
            body = await _read(answer)
            if answer.status == 200 and request.path.rstrip("/").endswith("/models"):
                body = _joined(format, body)
            down = wire.to_client(answer.headers, "", format, cookies=vendor.provider.passthrough)
            down.popall(wire.CALL_HEADER)
            return web.Response(status=answer.status, body=body, headers=down)


async def _read(answer: Answer) -> bytes:
    parts = bytearray()
    async for data in answer.chunks():
        parts += data
        if len(parts) > LIST_BYTES:
            raise UpstreamProtocol(f"The provider's list of models is over {LIST_BYTES >> 20} MB")
    return bytes(parts)


def _joined(format: FormatName, body: bytes) -> bytes:
    try:
        page = msgspec.json.decode(body)
        if not page.get("has_more"):
            page["data"] = [*page["data"], *(_model(format, name) for name in DEMO_MODELS)]
    except (msgspec.MsgspecError, AttributeError, KeyError, TypeError):
        raise UpstreamError("The provider's list of models cannot be read") from None
    return msgspec.json.encode(page)


def _list(format: FormatName, names: list[str], query: Mapping[str, str]) -> dict[str, Any]:
    """All names in OpenAI's shape; in Anthropic's the page that is asked for. Raises `RequestInvalid`."""
    if format != "anthropic_messages":
        return {"object": "list", "data": [_model(format, name) for name in names]}
    page, more = page_of(names, query)
    data = [_model(format, name) for name in page]
    return {
        "data": data,
        "has_more": more,
        "first_id": page[0] if page else None,
        "last_id": page[-1] if page else None,
    }


def page_of(names: list[str], query: Mapping[str, str]) -> tuple[list[str], bool]:
    """One page as Anthropic counts them, by `limit` and `after_id` or `before_id`, and whether there are more that way.

    Raises `RequestInvalid`.
    """
    limit, after, before = query.get("limit", str(PAGE)), query.get("after_id"), query.get("before_id")
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit) <= LONGEST_PAGE):
        raise RequestInvalid(f"`limit` must be a whole number from 1 to {LONGEST_PAGE}")
    if after and before:
        raise RequestInvalid("`after_id` and `before_id` cannot be asked for together")
    for name in (after, before):
        if name and name not in names:
            raise RequestInvalid(f"There is no model {name!r} to begin a page at")
    if before:
        rest = names[: names.index(before)]
        return rest[-int(limit) :], len(rest) > int(limit)
    rest = names[names.index(after) + 1 :] if after else names
    return rest[: int(limit)], len(rest) > int(limit)


def _model(format: FormatName, name: str) -> dict[str, Any]:
    if format == "anthropic_messages":
        return {"type": "model", "id": name, "display_name": name, "created_at": _MADE_TEXT}
    return {"id": name, "object": "model", "created": _MADE, "owned_by": "luthien-stream"}


def _json(value: Any) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), content_type="application/json")
