"""The port towards a provider. The edge opens one answer a call and reads it to its end, or leaves it early.

Two things speak it: `client` (HTTP) and `demo` (scripted models without a socket). A path is the client's own, as in
`/v1/messages`; where it lies under `base_url` is the implementation's business.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import ClassVar, Protocol

from luthien_stream.config.model import Provider
from luthien_stream.errors import UpstreamError
from luthien_stream.events.log import Header


class UpstreamUnreachable(UpstreamError):
    """The provider cannot be reached. Check its `base_url` in the configuration."""

    error: ClassVar[str] = "upstream_unreachable"


class UpstreamTimeout(UpstreamError):
    """The provider did not answer in time. Its `timeout_s` in the configuration bounds the silence."""

    status = 504
    error: ClassVar[str] = "upstream_timeout"


class UpstreamCut(UpstreamError):
    """The provider broke its answer off."""

    error: ClassVar[str] = "upstream_cut"


class UpstreamProtocol(UpstreamError):
    """The provider's answer is no valid HTTP."""

    error: ClassVar[str] = "upstream_protocol"


Trouble = UpstreamUnreachable | UpstreamTimeout | UpstreamCut | UpstreamProtocol
"""What `open` and `chunks` raise."""


class Answer(Protocol):
    """A provider's answer whose status and headers are known."""

    @property
    def status(self) -> int: ...
    @property
    def headers(self) -> Sequence[Header]:
        """As they came, names in lower case."""

    def chunks(self) -> AsyncIterator[bytes]:
        """The body's bytes as they arrive, to its end. Raises one of `Trouble`."""


class Upstream(Protocol):
    """Leaving the context before the end cancels the answer at once."""

    def open(
        self,
        provider: Provider,
        path: str,
        query: str,
        headers: Sequence[Header],
        body: bytes,
        *,
        method: str = "POST",
    ) -> AbstractAsyncContextManager[Answer]:
        """Send the request and wait for the status. Raises one of `Trouble`."""

    async def close(self) -> None:
        """Give back what is shared between calls."""
