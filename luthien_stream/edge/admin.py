"""The admin listener: for people and tools, never for the agent. A bearer token from the data folder opens it."""

from __future__ import annotations

import asyncio
import hmac
import secrets
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from luthien_stream import __version__
from luthien_stream.edge.auth import secret_of
from luthien_stream.edge.call import Call
from luthien_stream.edge.edge import Edge
from luthien_stream.edge.following import Following
from luthien_stream.edge.tailing import Tailing
from luthien_stream.errors import BusError, ConfigError
from luthien_stream.policy.in_force import refusal
from luthien_stream.policy.stages import External, Stages

TOKEN_FILE = "admin-token"
_Next = Callable[[web.Request], Awaitable[web.StreamResponse]]


def admin_token(data: Path) -> str:
    """Return the token of a data folder; make it, readable by its owner only, if there is none."""
    path = data / TOKEN_FILE
    if not path.exists() or not path.read_text().strip():
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = data / f".{TOKEN_FILE}.{secrets.token_hex(4)}"
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(32) + "\n")
        draft.replace(path)
    return path.read_text().strip()


class AdminServer:
    """Answers about one edge."""

    def __init__(self, edge: Edge, following: Following, tailing: Tailing, token: str) -> None:
        self._edge, self._following = edge, following
        self._tailing = tailing
        self._token = token.encode()
        self._runner: web.AppRunner | None = None

    async def listen(self, host: str, port: int) -> int:
        """Start to listen; return the port. Raises `OSError` where the address cannot be had."""
        app = web.Application(middlewares=[self._guard])
        app.router.add_get("/luthien/api/status", self._status)
        app.router.add_get("/luthien/api/calls", self._calls)
        app.router.add_get("/luthien/api/tail", self._tailing.serve, allow_head=False)
        app.router.add_get("/luthien/api/pipeline", self._pipeline)
        app.router.add_put("/luthien/api/pipeline", self._replace_pipeline)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        return int(self._runner.addresses[0][1])

    async def close(self) -> None:
        """Close all connections."""
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _guard(self, request: web.Request, handler: _Next) -> web.StreamResponse:
        sent = secret_of(request.headers.get("authorization", "")).encode("utf-8", "replace")
        if not hmac.compare_digest(sent, self._token):
            return _json({"error": f"Send `Authorization: Bearer TOKEN` with the token in {TOKEN_FILE}"}, 401)
        return await handler(request)

    async def _status(self, request: web.Request) -> web.Response:
        edge = self._edge
        return _json(
            {
                "version": __version__,
                "edge": edge.id,
                "uptime_s": round(time.time() - edge.started_at, 1),
                "open_calls": len(edge.calls),
                "tails": self._tailing.subscribers,
                "tasks": len(asyncio.all_tasks()),
                "pipeline": edge.plan.stages.version,
                "stages": edge.plan.stages.keys,
                "ready": not edge.admission.not_ready,
                "reason": edge.admission.not_ready,
                "waiting_s": round(edge.admission.waiting_s(), 1),
            }
        )

    async def _pipeline(self, request: web.Request) -> web.Response:
        return _json(shown_pipeline(self._edge.plan.stages, self._following))

    async def _replace_pipeline(self, request: web.Request) -> web.Response:
        try:
            version = await self._following.in_force.replace((await request.read()).decode("utf-8", "replace"))
        except ConfigError as error:
            return _json({"error": str(error), "problems": refusal(error)}, 400)
        except BusError as error:
            return _json({"error": f"The log (Redis) cannot be written: {type(error).__name__}; try again"}, 503)
        self._following.wake.set()
        return _json({"published": version.id, "stages": version.stages}, 202)

    async def _calls(self, request: web.Request) -> web.Response:
        return _json({"calls": [_shown(call) for call in list(self._edge.calls.values())]})


def shown_pipeline(stages: Stages, following: Following) -> dict[str, Any]:
    """What is in force in this edge, what waits for its workers, and how it was written."""
    pending, version = following.pending, following.in_force.version
    return {
        "version": stages.version,
        "in_force": _stages(stages),
        "pending": None if pending is None else _stages(pending),
        "pipeline": version.pipeline,
        "by": version.by,
        "since": version.time,
    }


def _stages(stages: Stages) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = [
        {"stage": stage.stage, "external": True, "phases": stage.phases}
        for stage in stages.enforcing
        if isinstance(stage, External)
    ]
    for pipeline in stages.pipelines:
        policies = [
            {"name": bound.name, "version": bound.version, "on_error": bound.on_error, "match": bound.match}
            for bound in pipeline.policies
        ]
        shown.append({"stage": pipeline.stage, "shadow": pipeline is stages.shadow, "policies": policies})
    order = [stage.stage for stage in stages.enforcing]
    return sorted(shown, key=lambda one: order.index(one["stage"]) if one["stage"] in order else len(order))


def _shown(call: Call) -> dict[str, Any]:
    return {
        "call_id": call.id,
        "session": call.asked.published.session,
        "format": call.asked.format,
        "model": call.asked.view.model,
        "provider": call.route.name,
        "streamed": call.asked.view.streamed,
        "way": "relayed" if call.relayed else "policed",
        "age_s": round(time.monotonic() - call.began_at, 1),
        "bytes": call.delivery.bytes,
        "held": call.waits.held_until > 0,
    }


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(value), content_type="application/json")
