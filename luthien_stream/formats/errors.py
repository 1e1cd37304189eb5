"""What can go wrong between bytes and meaning: on the provider's side, on a policy's, and on the client's."""

from __future__ import annotations

from luthien_stream.errors import ClientError, PolicyError, UpstreamError


class ProtocolError(UpstreamError):
    """The provider's answer breaks its own format: what it says cannot be shown to policies."""


class FrameError(PolicyError):
    """A policy put out what its client's format cannot carry."""


class EditError(PolicyError):
    """A policy edited a request in a way that the provider would refuse."""


class RequestError(ClientError):
    """The request body cannot be read or sent on. `param` names the field at fault, empty for the body as a whole."""

    error = "request_invalid"

    def __init__(self, message: str, param: str = "") -> None:
        super().__init__(message, param=param)
        self.param = param
