"""Take secrets out: of what the provider is sent, and of what the client gets.

In their place stand placeholders, `‹secret:ab12›`, the same for the same secret throughout a session, so that the model
can speak of a secret that it does not know. What is looked for are the tokens, keys and passwords that their issuers'
formats or what is said before them tell; a gitleaks file may take the place of the built-in rules.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from fnmatch import fnmatchcase
from hashlib import sha256
from pathlib import Path
from typing import ClassVar

from luthien_stream.policy import Context, Event, Events, Policy, Request, ToolCall
from luthien_stream.policy.api import Hold
from luthien_stream.text.carriers import Carriers, Found, carried, edits_of
from luthien_stream.text.flow import Scan, edited
from luthien_stream.text.gitleaks import rules_in
from luthien_stream.text.known_secrets import KNOWN
from luthien_stream.text.placeholder import MARK, Secrets, placeholder, put_back
from luthien_stream.text.secret_scan import SecretScan
from luthien_stream.text.secrets import Finder


class SecretRedact(Policy, dict=True):
    """`gitleaks: PATH` for rules of your own, `key` for placeholders that nobody without it can try guesses against."""

    hold: ClassVar[Hold] = "tail"
    redacts: ClassVar[bool] = True

    gitleaks: str = ""
    gitleaks_digest: str = ""
    """SHA-256 (hex) of that file: filled in, so that another file is another version; checked where it is given."""
    key: str = ""
    unmask: tuple[str, ...] = ()
    """Globs over the names of tools that get the secrets themselves: what the request had, and no others."""

    def __post_init__(self) -> None:
        rules = KNOWN
        if self.gitleaks:
            file = _read(self.gitleaks)
            digest = sha256(file).hexdigest()
            if self.gitleaks_digest not in ("", digest):
                raise ValueError(f"{self.gitleaks} has the digest {digest}, not `gitleaks_digest`")
            self.gitleaks_digest, rules = digest, rules_in(file)
        self._finder = Finder(rules)

    async def request(self, request: Request, ctx: Context) -> Request:
        """Mask the secrets in all text that the provider would get."""
        found, kept = Found(), Found()
        request = request.replace_all(edits_of(request, self._scans(ctx, found)))
        for part in request.parts():
            if part.kind == "thinking" and part.text:
                signed = part.path[-1] != "reasoning_content"
                make = self._scans(ctx, kept if signed else found)
                if edited(make(), part.text) != part.text and not signed:
                    request = request.drop(part)
        found.record(ctx)
        for name in kept.counts:
            ctx.verdict("allow", f"{name} in signed thinking, which its provider has and takes only as it is")
        return request

    def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Mask the secrets in all that carries text; drop what carries one and cannot be edited."""
        found = Found()
        carriers = Carriers(self._scans(ctx, found), found, finish=lambda call: self._unmasked(call, ctx))
        return carried(events, carriers, found, lambda: found.record(ctx))

    def _scans(self, ctx: Context, found: Found) -> Callable[[], Scan]:
        key = self._key_of(ctx)

        def name(rule: str, secret: str) -> str:
            found.note(rule)
            return placeholder(key, secret)

        return lambda: SecretScan(self._finder, name)

    def _key_of(self, ctx: Context) -> str:
        return self.key or f"{ctx.call.key}/{ctx.call.session}"

    def _unmasked(self, call: ToolCall, ctx: Context) -> ToolCall:
        """Give a trusted tool the secrets that the model only knows by their placeholders."""
        if MARK not in call.arguments or not any(fnmatchcase(call.name, tool) for tool in self.unmask):
            return call
        secrets = Secrets(self._key_of(ctx))
        for _ in edits_of(ctx.given, lambda: SecretScan(self._finder, lambda rule, secret: secrets.add(secret))):
            pass
        return put_back(call, secrets.certain())


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"`gitleaks` cannot be read: {error.strerror}: {path}") from error
