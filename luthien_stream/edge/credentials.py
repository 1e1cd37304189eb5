"""Secrets stay in the edge: cut out of what is published, put back only where they came from.

A `Vault` lives as long as its call. Each secret has a marker that nobody can guess; what is published shows the marker,
the provider gets the request's own bytes, and the client gets its own secret back where a provider repeated it.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import unquote_plus

import msgspec

from luthien_stream.edge.auth import secret_of
from luthien_stream.events.log import Header

HIDDEN = b"[gateway credential]"
"""What everybody sees in place of the gateway's own key, the client too."""
SHORTEST = 8
"""Characters from which a secret is searched for as such; a shorter one only as a whole JSON string."""
_NAME = re.compile(
    r"authorization|api[-_]?key|(^|[-_])token$|secret|cookie|passw(or)?d|credential|luthien-key|^key$|^sig(nature)?$"
    r"|private[-_]?key|access[-_]?key|(^|[-_])(auth|jwt|pwd)$",
    re.I,
)
_SUSPECT = re.compile(
    rb'"[\w-]{0,64}(?:authorization|token|secret|cookie|passw(?:or)?d|credential|headers|key|sig(?:nature)?|auth|jwt|pwd)'
    rb'[\w-]{0,64}"\s*:|://[^/"\s@]*@'
    rb"|(?:[?&]|\\u0026)[\w.%-]{0,64}(?:token|secret|passw(?:or)?d|credential|key|sig(?:nature)?|auth|jwt|pwd)"
    rb"[\w.%-]{0,64}=",
    re.I,
)
"""Whether a body is worth a look. Repeats are bounded: a long string that means nothing must not be read for each of
its characters."""
_RECORDED = re.compile(
    r"(accept|content|anthropic|openai|x-stainless|x-claude|x-codex|sec|x-forwarded)(-.*)?|user-agent|host|origin|referer"
    r"|http-referer|x-title|x-app|originator|version|date|via|forwarded|connection|cache-control|pragma|priority|expect"
    r"|transfer-encoding|traceparent|tracestate|x-request-id|x-client-request-id|x-session-id|session-id|thread-id"
    r"|conversation-id|idempotency-key|x-luthien-(?!key).*|retry-after",
    re.I,
)
"""Request headers whose values are published; anybody may send a secret in a header of any other name."""
_USERINFO = re.compile(r"://([^/@\s]+)@")
_PARAMETER = re.compile(r"[?&]([\w.%-]+)=([^&#\s\"']+)")
_TALK = frozenset({"messages", "system", "input", "instructions"})
"""Fields whose text is the conversation: only URLs with a user or a credential in them are looked at there."""


@lru_cache(maxsize=4096)
def is_credential(name: str) -> bool:
    """Say whether a header, query parameter or field of this name holds a credential."""
    return _NAME.search(name) is not None


def is_recorded(name: str) -> bool:
    """Say whether a header of this name has a value that anybody may see."""
    return _RECORDED.fullmatch(name) is not None


class Vault:
    """The secrets of one call."""

    def __init__(self) -> None:
        self._nonce = secrets.token_hex(6)
        self._markers: dict[bytes, bytes] = {}
        self.answered = False
        """A marker was put into the provider's answer, so that `unmask` has something to do."""

    def keep(self, secret: str) -> None:
        """Take a secret of the client's."""
        for needle in self._needles(secret):
            if needle not in self._markers:
                bare = f"luthien-credential-{self._nonce}-{len(self._markers)}".encode()
                self._markers[needle] = b'"' + bare + b'"' if needle[:1] == b'"' else bare
        self._sort()

    def hide(self, secret: str) -> None:
        """Take a secret of the gateway's own: nobody gets it back, not even a client that sent the same."""
        if len(secret) >= SHORTEST:
            self._markers = {**self._markers, secret.encode(): HIDDEN}
            self._sort()

    def _sort(self) -> None:
        # A secret that contains another one must go first.
        self._markers = dict(sorted(self._markers.items(), key=lambda item: -len(item[0])))

    def mask(self, data: bytes) -> bytes:
        """Return the bytes with every secret replaced by its marker."""
        for needle, marker in self._markers.items():
            if needle in data:
                data = data.replace(needle, marker)
        return data

    def mask_answer(self, frame: bytes) -> bytes:
        """The same for a frame of the provider's answer."""
        for needle in self._markers:
            if needle in frame:
                self.answered = True
                return self.mask(frame)
        return frame

    def unmask(self, data: bytes, only: str | None = None) -> bytes:
        """Return the bytes with the client's own secrets put back, or `only` this one."""
        needles = self._markers if only is None else [n for n in self._needles(only) if n in self._markers]
        for needle in needles:
            marker = self._markers[needle]
            if marker is not HIDDEN and marker in data:
                data = data.replace(marker, needle)
        return data

    def mask_text(self, text: str) -> str:
        """The same as `mask` for a text."""
        if not text:
            return ""
        return self.mask(text.encode("utf-8", "replace")).decode("utf-8", "replace")

    def mask_headers(self, headers: Iterable[Header]) -> tuple[Header, ...]:
        """Headers as they may be published."""
        return tuple((name, self._masked_value(name, value)) for name, value in headers)

    def _masked_value(self, name: str, value: str) -> str:
        masked = self.mask_text(value)
        return "[credential]" if masked == value and is_credential(name) else masked

    @staticmethod
    def _needles(secret: str) -> list[bytes]:
        if not secret:
            return []
        # As bare text, and as JSON writes it, with and without escapes for what is not ASCII.
        quoted = [json.dumps(secret, ensure_ascii=plain).encode("utf-8", "replace") for plain in (False, True)]
        if len(secret) >= SHORTEST:
            quoted = [secret.encode("utf-8", "replace"), *(form[1:-1] for form in quoted)]
        return list(dict.fromkeys(quoted))


def keep_headers(vault: Vault, headers: Mapping[str, str]) -> None:
    """Take the secrets in a request's headers."""
    for name, value in headers.items():
        if is_credential(name):
            secret, behind = secret_of(value), value.strip().partition(" ")[2]
            vault.keep(secret)
            if behind != secret:
                vault.keep(behind)  # behind a scheme that `secret_of` does not know


def shown_headers(vault: Vault, headers: Iterable[Header]) -> tuple[Header, ...]:
    """A request's headers as they may be published: the values of known names only."""
    masked = vault.mask_headers(headers)
    return tuple((name, value if is_recorded(name) else "[not recorded]") for name, value in masked)


def cut_query(vault: Vault, query: str) -> str:
    """Take the secrets in a query and return it as it may be published."""
    if not query:
        return ""
    pairs = [pair.partition("=") for pair in query.split("&")]
    for name, _, value in pairs:
        if is_credential(unquote_plus(name)):
            vault.keep(unquote_plus(value))
            vault.keep(value)
    return vault.mask_text("&".join(f"{n}{eq}{_shown(n, v)}" for n, eq, v in pairs))


def without_credentials(query: str) -> str:
    """A query without its credential parameters: what a provider gets that the client's are not meant for."""
    pairs = query.split("&")
    return "&".join(pair for pair in pairs if not is_credential(unquote_plus(pair.partition("=")[0])))


def cut_body(vault: Vault, body: bytes) -> bytes:
    """Take the secrets in a JSON body's known places and return it as it may be published."""
    if _SUSPECT.search(body) is None:
        return vault.mask(body)
    found = list(_secrets(_parsed(body)))
    if not found:
        return vault.mask(body)
    for secret in found:
        vault.keep(secret)
    masked = vault.mask(body)
    if set(found) & set(_secrets(_parsed(masked))):
        # Written with escapes of its own: published in another spelling; the provider gets the bytes as they came.
        masked = vault.mask(
            json.dumps(_parsed(body), ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        )
    return masked


def _shown(name: str, value: str) -> str:
    return "[credential]" if value and len(value) < SHORTEST and is_credential(unquote_plus(name)) else value


def _parsed(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.MsgspecError:
        pass
    try:
        return json.loads(body)
    except ValueError:
        return None


def _secrets(body: Any) -> Iterator[str]:
    if isinstance(body, dict):
        for name, value in body.items():
            yield from _in(name, value, talk=name in _TALK)


def _in(name: str, value: Any, *, talk: bool) -> Iterator[str]:
    if isinstance(value, str):
        if not talk and is_credential(name):
            yield secret_of(value)
        elif not talk or name in ("url", "image_url"):
            yield from _in_url(value)
    elif isinstance(value, list):
        for one in value:
            yield from _in(name, one, talk=talk)
    elif isinstance(value, dict):
        for key, one in value.items():
            if name == "headers" and not talk and isinstance(one, str):
                yield secret_of(one)
            else:
                yield from _in(key, one, talk=talk)


def _in_url(text: str) -> Iterator[str]:
    if "://" in text:
        yield from _USERINFO.findall(text)
        for name, value in _PARAMETER.findall(text):
            if is_credential(unquote_plus(name)):
                yield value
