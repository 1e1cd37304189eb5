"""Responses that the fake provider keeps, as the vendor does: to be shown, deleted, and gone on from."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import msgspec
from aiohttp import web

from luthien_stream.testing import dialect

FORM = dialect.RESPONSES


class Stored:
    """The answers to requests that do not say `store: false`, newest last; `keep` bounds them."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._bodies: OrderedDict[str, bytes] = OrderedDict()

    def put(self, request: dict[str, Any], body: bytes) -> None:
        """Keep an answer, if its request allows it."""
        if request.get("store") is not False:
            self._bodies[msgspec.json.decode(body)["id"]] = body
            if len(self._bodies) > self._keep:
                self._bodies.popitem(last=False)

    def refusal(self, request: dict[str, Any]) -> tuple[int, bytes]:
        """Status and body for a request that goes on from a response that is not here; (0, b"") if it is."""
        before = request.get("previous_response_id")
        if before is None or before in self._bodies:
            return 0, b""
        message = f"Previous response with id '{before}' not found."
        return 400, dialect.error_body(FORM, 400, message, "previous_response_id", "previous_response_not_found")

    async def show(self, request: web.Request) -> web.Response:
        """`GET /v1/responses/{id}`."""
        body = self._bodies.get(request.match_info["id"])
        return _missing(request) if body is None else _answer(200, body)

    async def delete(self, request: web.Request) -> web.Response:
        """`DELETE /v1/responses/{id}`."""
        id = request.match_info["id"]
        if self._bodies.pop(id, None) is None:
            return _missing(request)
        return _answer(200, msgspec.json.encode({"id": id, "object": "response", "deleted": True}))


def _missing(request: web.Request) -> web.Response:
    message = f"Response with id '{request.match_info['id']}' not found."
    return _answer(404, dialect.error_body(FORM, 404, message, None, "response_not_found"))


def _answer(status: int, body: bytes) -> web.Response:
    headers = dialect.headers(FORM)
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)
