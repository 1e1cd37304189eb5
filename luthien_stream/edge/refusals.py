"""Why the edge does not serve a request: one type a reason, with its HTTP status and its name in the record."""

from __future__ import annotations

from luthien_stream.errors import ClientError, LuthienError


class Refusal(ClientError):
    """The request is not served."""

    error = "request_invalid"
    retry_after: int | None = None
    """Seconds, for the header of that name."""
    model = ""
    """What was asked for, where that much could be read."""

    @property
    def param(self) -> str:
        """The field at fault, empty for none."""
        return str(self.facts.get("param", ""))

    recorded = True
    """Whether it is written to the log: what an unknown sender can cause without end is not."""


class RequestInvalid(Refusal):
    """The request cannot be read."""


class ResponseUnknown(Refusal):
    """No such response is on record here."""

    error = "previous_response_not_found"


class ItemUnknown(Refusal):
    """No such item is on record here."""

    error = "item_not_found"


class StoredUnknown(Refusal):
    """No such response is on record here."""

    status = 404
    error = "not_found"
    recorded = False


class OptionClosed(Refusal):
    """The request asks for something that the configured policies could not see."""

    error = "option_closed"


class FormatsDiffer(Refusal):
    """The model's provider speaks another format than the client."""

    status = 404
    error = "format_unsupported"


class ThreadClosed(OptionClosed):
    """This gateway needs the whole conversation in each request: `thread` is not supported."""


class Unauthenticated(Refusal):
    """No valid credential was sent."""

    status = 401
    error = "unauthenticated"
    recorded = False


class ModelUnknown(Refusal):
    """The model is not configured."""

    status = 404
    error = "model_unknown"


class PathUnknown(Refusal):
    """This path is not served."""

    status = 404
    error = "path_unknown"
    recorded = False


class UpgradeRefused(Refusal):
    """This gateway speaks plain HTTP: send the request as a POST, without `Upgrade`."""

    status = 426
    error = "upgrade_refused"
    recorded = False


class CallUnknown(Refusal):
    """No such call is known here, or another credential began it. An answer is kept for two minutes after its end."""

    status = 404
    error = "call_unknown"
    recorded = False


class TooLarge(Refusal):
    """The request's body is over the limit."""

    status = 413
    error = "request_too_large"
    recorded = False


class NotNow(Refusal):
    """The gateway cannot take calls now."""

    status = 503
    error = "gateway_unavailable"
    retry_after = 2
    recorded = False


REQUEST_ERRORS = (ClientError,)
"""What `Lens.request` raises."""


def name_of(error: LuthienError) -> str:
    """The error's name in the record."""
    return str(getattr(error, "error", "request_invalid"))
