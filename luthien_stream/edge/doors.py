"""Closed doors: what a request may not ask for while policies are to see what passes."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import unquote

from luthien_stream.config.model import FormatName
from luthien_stream.core.lens import Request
from luthien_stream.edge.refusals import OptionClosed, PathUnknown, RequestInvalid, ThreadClosed

SERVED = (
    "POST /v1/chat/completions",
    "POST /v1/messages",
    "POST /v1/messages/count_tokens",
    "POST /v1/responses",
    "GET /v1/responses/{id}",
    "DELETE /v1/responses/{id}",
    "POST /v1/embeddings",
    "GET /v1/models",
    "GET /v1/models/{id}",
    "GET /v1/calls/{id}/stream",
    "GET /setup",
    "GET /setup/{client}",
    "GET /health",
    "GET /livez",
    "GET /readyz",
)
_NUMBERS = frozenset({("POST", "/v1/messages/count_tokens"), ("POST", "/v1/embeddings")})
"""Their answers are numbers: no policy could do anything with them. Nor with the end of a stored response."""


class Doors:
    """What is open beside the calls that policies read."""

    def __init__(self, *, acting: bool, unpoliced: Collection[str]) -> None:
        """`acting`: a policy takes part in calls. `unpoliced` is opened by name: a path behind `/v1/`, or an option of
        a request's body."""
        self.acting = acting
        self._opened = frozenset(name.strip("/").removeprefix("v1/") for name in unpoliced)

    def pass_by(self, method: str, path: str) -> str:
        """Say under what name a request may pass without policies, empty where there are none.

        `path` is as it came, still quoted. Raises `PathUnknown` for what is closed, `RequestInvalid` for a path that
        the provider could read as another one.
        """
        if not path.startswith("/v1/"):
            raise PathUnknown(f"{method} {path} is not served by this gateway. It serves: {', '.join(SERVED)}")
        steps = [unquote(step) for step in path.removesuffix("/").split("/")[2:]]
        if any(step in ("", ".", "..") or set(step) & set("/\\") for step in steps):
            raise RequestInvalid("The path has an empty, a relative or a quoted step")
        if not self.acting:
            return ""
        if (method, path) in _NUMBERS or (method == "DELETE" and steps[0] == "responses" and len(steps) == 2):
            return f"{method} {path}"
        opened = next((name for name in _prefixes(steps) if name in self._opened), "")
        if not opened:
            raise PathUnknown(
                f"{method} {path} is closed: this gateway's policies could not see what passes there. "
                f"`unpoliced: [{steps[0]}]` in its configuration opens it. It serves: {', '.join(SERVED)}"
            )
        return f"unpoliced: {opened}"

    def check_options(self, format: FormatName, request: Request) -> None:
        """Refuse options whose output or input no policy can see. Raises `OptionClosed`."""
        if not self.acting:
            return
        if format == "anthropic_messages" and self._closed(request, "thread"):
            # Also where no policy needs history: the provider's thread has the answer that it gave, not the one that
            # was delivered. The vendor's SDKs then send the whole conversation, and go on doing so.
            raise ThreadClosed(
                "This gateway's policies need the whole conversation: `thread` is not supported, send `messages`"
            )
        modalities = request.get("modalities")
        if isinstance(modalities, list) and set(map(str, modalities)) - {"text"} and "modalities" not in self._opened:
            raise OptionClosed('This gateway\'s policies can see text only: `modalities` must be ["text"]')
        if self._closed(request, "background"):
            raise OptionClosed("This gateway's policies cannot see what runs in the background: omit `background`")
        for option in ("conversation", "prompt"):
            if format == "openai_responses" and self._closed(request, option):
                raise OptionClosed(
                    f"This gateway's policies need all that the model is told: `{option}` is not supported"
                )

    def _closed(self, request: Request, option: str) -> bool:
        return request.get(option) not in (None, False) and option not in self._opened


def _prefixes(steps: list[str]) -> list[str]:
    return ["/".join(steps[:count]) for count in range(1, len(steps) + 1)]
