"""A fleet whose Redis comes last: nothing gives up, the edge says that it is not ready, and then it serves."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import aiohttp
import pytest
import yaml

from luthien_stream.embedded.place import discard_data
from luthien_stream.embedded.valkey import EmbeddedValkey
from luthien_stream.testing.provider import FakeProvider
from tests.acceptance.clients import ask, body, session
from tests.acceptance.gateway import COMMAND, free_port
from tests.wait import wait_until

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    async with FakeProvider() as fake:
        yield fake


@pytest.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[EmbeddedValkey]:
    """A server whose address is known and that does not run yet."""
    valkey = EmbeddedValkey(tmp_path / "data" / "valkey")
    valkey.place.prepare()
    yield valkey
    await valkey.stop()
    discard_data(tmp_path / "data")


@contextmanager
def role(folder: Path, name: str) -> Iterator[subprocess.Popen[bytes]]:
    """One role as a service manager starts it."""
    with (folder / f"{name}.log").open("wb") as output:
        process = subprocess.Popen(
            [COMMAND, name, "--config", "luthien.yaml", "--data", "roles"], stdout=output, stderr=output, cwd=folder
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


async def status(http: aiohttp.ClientSession, url: str) -> int:
    """The status of a cheap path; 0 while nobody listens."""
    try:
        async with http.get(url) as answer:
            return answer.status
    except aiohttp.ClientError:
        return 0


async def test_redis_may_come_last(tmp_path: Path, provider: FakeProvider, valkey: EmbeddedValkey) -> None:
    """Alive, not ready, and a typed refusal; once the server is there, calls pass the policies."""
    url = f"http://127.0.0.1:{free_port()}"
    config = {
        "listen": url.removeprefix("http://"),
        "admin": {"listen": f"127.0.0.1:{free_port()}"},
        "redis": valkey.url,
        "database": "none",
        "providers": {"fake": {"base_url": f"{provider.url}/v1", "format": "openai_chat", "passthrough": True}},
        "pipeline": [{"use": "all_caps"}],
    }
    (tmp_path / "luthien.yaml").write_text(yaml.safe_dump(config))
    with ExitStack() as roles:
        started = [roles.enter_context(role(tmp_path, name)) for name in ("edge", "worker", "activity")]
        async with session() as http:
            await wait_until(lambda: listens(http, url), timeout=20)
            assert await status(http, f"{url}/readyz") == 503
            early = await ask(http, url, "openai_chat", body("text-3"))
            assert (early.status, b"gateway_unavailable" in early.body) == (503, True)
            await valkey.start()
            await wait_until(lambda: is_ready(http, url), timeout=20)
            late = await ask(http, url, "openai_chat", body("text-3"))
            assert (late.status, b"ALPHA 0" in late.body) == (200, True)
        assert [process.poll() for process in started] == [None] * 3
    assert [process.returncode for process in started] == [0] * 3


async def listens(http: aiohttp.ClientSession, url: str) -> bool:
    """Whether the edge lives."""
    return await status(http, f"{url}/livez") == 200


async def is_ready(http: aiohttp.ClientSession, url: str) -> bool:
    """Whether it takes calls."""
    return await status(http, f"{url}/readyz") == 200
