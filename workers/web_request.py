"""Where agents may reach out to: hosts in fetch tools and shell commands, and the provider's own tools in requests.

Without `allow` every public host is. Addresses that give out a cloud machine's credentials, the gateway's own, and
schemes that read files are never, unless `allow` names them; private networks with `private: true`.
Web search, code execution and MCP servers that the provider runs go past all gates: they are dropped from requests.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from luthien_stream.actions.hosts import Host, host_of, urls_in
from luthien_stream.actions.known_tools import texts
from luthien_stream.actions.reached import reached, reached_by_code
from luthien_stream.actions.running import commands_of
from luthien_stream.actions.server_tools import remote_files, server_tools, without_server_tools
from luthien_stream.actions.shell import UnreadableError
from luthien_stream.policy import Allow, Context, Deny, Refuse, Request, ToolCall, ToolGate, Verdict

MOST = 1000
"""Hosts of one call that are looked at."""
LONGEST = 65_536
"""Characters of one argument in which URLs are looked for."""


class WebRequest(ToolGate, dict=True):
    """`allow` and `deny` are globs of a host or `host:port`; `*.example.com` is not `example.com`."""

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    private: bool = False
    """True lets private networks be reached."""
    loopback: bool = True
    """True lets this machine be reached, but for the gateway."""
    server_tools: Literal["drop", "refuse", "allow"] = "drop"
    shown: str = "This address is not to be reached here."

    def __post_init__(self) -> None:
        self._allow = tuple(glob.casefold() for glob in self.allow)
        self._deny = tuple(glob.casefold() for glob in self.deny)

    async def request(self, request: Request, ctx: Context) -> Request:
        """Take out the provider's own tools, and files that it would fetch from a host that may not be reached."""
        for part, url in remote_files(request):
            if reason := self._objection(host_of(url)):
                if self.server_tools == "drop" and part.kind == "image" and not part.id:
                    ctx.verdict("rewrite", f"dropped a file: {reason}")
                    return await self.request(request.drop(part), ctx)
                raise Refuse(self.shown, f"file: {reason}")
        found = server_tools(request) if self.server_tools != "allow" else []
        if not found:
            return request
        names = ", ".join(dict.fromkeys(found))[:200]
        if self.server_tools == "refuse" or request.model in found:
            raise Refuse("Tools that the provider runs by itself are not to be used here.", names)
        ctx.verdict("rewrite", f"dropped {names}")
        return without_server_tools(request)

    async def check(self, call: ToolCall, ctx: Context) -> Verdict:
        """Deny a call that reaches a host it may not, or one that cannot be told where there is a list."""
        try:
            for count, url in enumerate(_urls(call)):
                if count == MOST:
                    return Deny(f"more than {MOST} addresses in one call", self.shown)
                if reason := self._objection(host_of(url[:4096])):
                    return Deny(reason, self.shown)
        except UnreadableError as error:
            return Deny(f"unreadable: {error}", self.shown)
        return Allow()

    def _objection(self, host: Host) -> str:
        """Why a host may not be reached, empty if it may."""
        if host.is_any_of(self._deny):
            return f"denied: {host.name}"
        if host.kind == "loopback" and host.path.startswith("/luthien"):
            return "the gateway itself"
        if self._allow:
            if host.kind == "unknown":
                return "not allowed: unknown"
            return "" if host.is_any_of(self._allow) else f"not allowed: {host.name}"
        match host.kind:
            case "metadata" | "file":
                return f"{host.kind}: {host.name}"
            case "private" if not self.private:
                return f"private: {host.name}"
            case "loopback" if not self.loopback:
                return f"loopback: {host.name}"
        return ""


def _urls(call: ToolCall) -> Iterator[str]:
    for text in texts(call, "fetch"):
        if len(text) > LONGEST:
            raise UnreadableError(f"an argument of more than {LONGEST} characters")
        is_url = len(text.split()) == 1
        yield from [text] if is_url else urls_in(text)
    yield from reached(commands_of(call))
    for text in texts(call, "code"):
        yield from reached_by_code(text)
