"""Errors of the edge's own, in the client's dialect and with the call's id."""

from __future__ import annotations

import msgspec
from aiohttp import web

from luthien_stream.core.lens import Lens
from luthien_stream.edge.failure import Failure
from luthien_stream.edge.refusals import Refusal, ThreadClosed
from luthien_stream.edge.wire import CALL_HEADER, REQUEST_ID
from luthien_stream.errors import LuthienError


def refused(lens: Lens, error: LuthienError, call: str) -> web.Response:
    """The answer to a request that is not served."""
    status = int(getattr(error, "status", 500))
    code, param = str(getattr(error, "error", "")), str(getattr(error, "param", ""))
    body = lens.error_body(status, str(error), code=code, call=call, param=param)
    if isinstance(error, ThreadClosed):
        body = _with_thread_details(body)
    response = _answer(lens, status, body, call)
    retry_after = error.retry_after if isinstance(error, Refusal) else None
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return response


def failed(lens: Lens, failure: Failure, call: str) -> web.Response:
    """The answer to a call that failed before its first byte."""
    body = lens.error_body(failure.status, failure.message, code=failure.error, call=call)
    response = _answer(lens, failure.status, body, call)
    if failure.retry is not None:
        response.headers["x-should-retry"] = "true" if failure.retry else "false"
    return response


def _answer(lens: Lens, status: int, body: bytes, call: str) -> web.Response:
    headers = {CALL_HEADER: call, REQUEST_ID[lens.name]: call}
    return web.Response(status=status, body=body, content_type="application/json", headers=headers)


def _with_thread_details(body: bytes) -> bytes:
    # The vendor's SDKs repeat the turn with its whole history when they read this.
    parsed = msgspec.json.decode(body)
    details = {"error_code": "thread_unsupported_request", "unsupported": ["gateway"]}
    parsed["error"] = {**parsed["error"], "details": details}
    return msgspec.json.encode(parsed)
