"""The native client: one aiohttp session for all providers that speak a format of ours over HTTP.

Bytes are handed on as they arrive; nothing is decompressed, followed or retried here.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from luthien_stream.config.model import Provider
from luthien_stream.events.log import Header
from luthien_stream.upstream.connection import certificates_of, environment_proxies, proxy_of
from luthien_stream.upstream.port import (
    Trouble,
    UpstreamCut,
    UpstreamProtocol,
    UpstreamTimeout,
    UpstreamUnreachable,
)

READ_BYTES = 1 << 16
"""aiohttp's own buffer bound for an answer."""
LARGE_BYTES = 1 << 19
_OF_OPENAI = {"openai_chat", "openai_responses"}
IDLE_S = 15.0
"""How long an unused connection is kept: below the idle time of common servers, since a POST is not sent twice."""


class HttpAnswer:
    """See `port.Answer`."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers: tuple[Header, ...] = tuple((name.lower(), value) for name, value in response.headers.items())

    async def chunks(self) -> AsyncIterator[bytes]:
        content = self._response.content
        try:
            while data := await content.readany():
                yield data
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _trouble(error, begun=True) from error


class NativeClient:
    """See `port.Upstream`."""

    def __init__(self, socket: Path | None = None) -> None:
        """With `socket` everything is asked of the server behind that Unix socket, whatever host its URL names."""
        self._socket = socket
        self._session: aiohttp.ClientSession | None = None
        self._proxies: Mapping[str, str] = {}

    def _connected(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._proxies = {} if self._socket else environment_proxies()
            self._session = aiohttp.ClientSession(
                connector=self._connector(),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                read_bufsize=READ_BYTES,
                skip_auto_headers=("User-Agent", "Accept", "Content-Type"),
            )
        return self._session

    def _connector(self) -> aiohttp.BaseConnector:
        if self._socket is not None:
            return aiohttp.UnixConnector(str(self._socket), limit=0, keepalive_timeout=IDLE_S)
        return aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_S, ttl_dns_cache=60)

    @asynccontextmanager
    async def open(
        self,
        provider: Provider,
        path: str,
        query: str,
        headers: Sequence[Header],
        body: bytes,
        *,
        method: str = "POST",
    ) -> AsyncIterator[HttpAnswer]:
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=provider.connect_timeout_s, sock_read=provider.timeout_s
        )
        sent = CIMultiDict(headers)
        sent["Accept-Encoding"] = "identity"
        try:
            session, url = self._connected(), url_of(provider, path, query)
            response = await session.request(
                method,
                url,
                headers=sent,
                data=_payload(body),
                timeout=timeout,
                allow_redirects=False,
                proxy=proxy_of(provider, url, self._proxies),
                ssl=certificates_of(provider),
            )
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise self._trouble(error) from error
        try:
            yield HttpAnswer(response)
        finally:
            # Not `release`: leaving early must close the connection, so that the provider stops.
            response.close()

    def _trouble(self, error: Exception) -> Trouble:
        trouble = _trouble(error, begun=False)
        if self._socket is not None and isinstance(trouble, UpstreamUnreachable):
            return UpstreamUnreachable(
                "The litellm server cannot be reached: `luthien-stream upstream` must run on this machine with the "
                "same --data; see logs/upstream.log there"
            )
        return trouble

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()


def url_of(provider: Provider, path: str, query: str) -> URL:
    """Where a client's path lies at a provider: as the vendors' SDKs join it to their base URL.

    OpenAI's have `/v1` in the base, Anthropic's in the path; a server that speaks both has it in the path.
    """
    base = provider.base_url.rstrip("/")
    if base.endswith("/v1") or not set(provider.formats) - _OF_OPENAI:
        path = path.removeprefix("/v1")
    return URL(f"{base}{path}" + (f"?{query}" if query else ""), encoded=True)


def _payload(body: bytes) -> bytes | io.BytesIO | None:
    """A large body is written piece by piece, so that other calls have their turn in between."""
    return io.BytesIO(body) if len(body) > LARGE_BYTES else body or None


def _trouble(error: Exception, *, begun: bool) -> Trouble:
    what = f"{type(error).__name__}"
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return UpstreamUnreachable("The provider cannot be reached in time: `connect_timeout_s` bounds it")
    if isinstance(error, TimeoutError):
        return UpstreamTimeout()
    if isinstance(error, aiohttp.ClientProxyConnectionError | aiohttp.ClientHttpProxyError):
        return UpstreamUnreachable(
            f"The proxy does not let the provider be reached ({what}): check `proxy` and HTTPS_PROXY"
        )
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientConnectorSSLError):
        return UpstreamUnreachable(f"The provider's certificate is not trusted ({what}): name its CA with `ca_file`")
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.InvalidURL) or (
        isinstance(error, OSError | ValueError) and not begun and not isinstance(error, aiohttp.ClientError)
    ):
        return UpstreamUnreachable(f"The provider cannot be reached ({what}): check its `base_url`")
    if isinstance(error, aiohttp.ClientPayloadError | aiohttp.ServerDisconnectedError | OSError):
        return UpstreamCut(f"The provider broke the connection ({what})")
    return UpstreamProtocol(f"The provider's answer is no valid HTTP ({what})")
