"""The litellm server in this process, behind a Unix socket, with the fake provider as whatever litellm is to reach."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from msgspec import Struct

from luthien_stream.testing.provider import FakeProvider
from luthien_stream.upstream import litellm_wire
from luthien_stream.upstream.litellm_server.library import Litellm, load
from luthien_stream.upstream.litellm_server.server import LitellmServer

KEY = "sk-deployment-key-7"


@cache
def loaded() -> Litellm:
    """litellm, imported once for all tests."""
    return load({})


class Client(Struct, frozen=True):
    """Asks the server as an edge does."""

    session: aiohttp.ClientSession
    socket: Path
    fake: FakeProvider

    def parameters(self, provider: str) -> dict[str, Any]:
        """What leads litellm's provider of this name to the fake one."""
        return {"api_base": self.fake.url if provider == "anthropic" else f"{self.fake.url}/v1"}

    async def ask(
        self, model: str, path: str = "/v1/chat/completions", **fields: Any
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Status, headers and body of an answer."""
        async with self.post(model, path, **fields) as answer:
            return answer.status, answer.headers, await answer.read()

    def post(self, model: str, path: str = "/v1/chat/completions", **fields: Any) -> Any:
        """The request itself."""
        parameters = {**self.parameters(model.partition("/")[0]), **fields.pop("parameters", {})}
        headers = {"authorization": f"Bearer {KEY}", **dict(litellm_wire.headers(parameters))}
        body = {"model": model, "messages": [{"role": "user", "content": "Hello there"}], "max_tokens": 100, **fields}
        if path.endswith("embeddings"):
            body = {"model": model, **fields}
        return self.session.post(f"http://litellm{path}", headers=headers, data=msgspec.json.encode(body))


@asynccontextmanager
async def serving() -> AsyncIterator[Client]:
    """Run the server and a client of it."""
    with tempfile.TemporaryDirectory(prefix="luthien-") as folder:
        path = Path(folder) / "upstream.sock"
        server = LitellmServer(loaded())
        await server.listen(path)
        try:
            async with (
                FakeProvider() as fake,
                aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as session,
            ):
                yield Client(session, path, fake)
        finally:
            await server.close()
