"""Which host a URL means, in all the spellings that clients accept for an address."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Literal
from unicodedata import normalize
from urllib.parse import unquote

from msgspec import Struct

Kind = Literal["public", "private", "loopback", "metadata", "file", "unknown"]
"""`metadata` gives out a cloud machine's credentials; `file` is a scheme that reads files or speaks raw protocols."""

_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]{1,20}:(?:/|\\){1,3}[^\s\"'<>`{}|^]{1,2048}")
_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]{1,20}):(?:[/\\]*)")
_METADATA = frozenset(
    ("metadata", "metadata.google.internal", "metadata.goog", "instance-data", "instance-data.ec2.internal")
) | {
    "169.254.169.254",
    "169.254.170.2",
    "169.254.170.23",
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
    "fd00:ec2::254",
}
_INSIDE = ("*.internal", "*.local", "*.lan", "*.intranet", "*.corp", "*.home.arpa", "*.svc", "*.cluster.local")
_READING = frozenset(
    ("file", "gopher", "dict", "ldap", "ldaps", "jar", "netdoc", "smb", "view-source", "php", "expect", "tftp")
)
_STORES = {"s3": "s3.amazonaws.com", "s3a": "s3.amazonaws.com", "gs": "storage.googleapis.com"}
"""Schemes of stores to where they are."""
_NUMBER = re.compile(r"0[xX][0-9a-fA-F]*|[0-9]+")
_EMBEDDED = re.compile(r"(?:^|[.-])((?:\d{1,3}[.-]){3}\d{1,3})(?=[.-])|(?:^|[.-])([0-9a-f]{8})(?=\.)")
_ECHOING = ("nip.io", "sslip.io", "xip.io", "localtest.me", "lvh.me", "vcap.me", "lacolhost.com", "traefik.me")
_NAT64 = (IPv6Address("64:ff9b::"), IPv6Address("2002::"))


class Host(Struct, frozen=True):
    """Where a request would go."""

    name: str
    """In lower case, without brackets; an address in its usual form."""
    port: str = ""
    path: str = ""
    kind: Kind = "public"

    def is_any_of(self, globs: tuple[str, ...]) -> bool:
        """True if a glob is of the name, or of `name:port`."""
        return any(fnmatchcase(self.name, glob) or fnmatchcase(f"{self.name}:{self.port}", glob) for glob in globs)


def urls_in(text: str) -> Iterator[str]:
    """The URLs that a text mentions."""
    yield from _URL.findall(text)


@lru_cache(maxsize=1024)
def host_of(url: str) -> Host:
    """The host of a URL, or of a bare `host:port/path`."""
    text = re.sub(r"[\x00-\x20\x7f\u200b-\u200f\ufeff]", "", normalize("NFKC", url)).replace("\\", "/").casefold()
    scheme = _SCHEME.match(text)
    if (
        scheme is not None
        and scheme[1] in _READING
        and (scheme[0][-1] == "/" or not text[scheme.end() :][:1].isdigit())
    ):
        return Host(scheme[1], kind="file")
    if scheme is not None and scheme[1] in _STORES:
        return Host(_STORES[scheme[1]])
    if scheme is not None and (text[scheme.end() - 1] == "/" or scheme[1] in ("http", "https")):
        text = text[scheme.end() :]
    place, slash, path = re.sub(r"^/+", "", text).partition("/")
    place, _, _ = place.partition("?")
    place, _, _ = place.partition("#")
    place = unquote(place.rpartition("@")[2])
    found = re.fullmatch(r"\[([^\]]*)\](?::(\d*))?|([^:]*)(?::(\d*))?|(.*)", place, re.DOTALL)
    groups = found.groups() if found is not None else (None,) * 5
    name = (groups[0] or groups[2] or groups[4] or "").strip(".").partition("%")[0]
    return _host(name, groups[1] or groups[3] or "", slash + path)


def _host(name: str, port: str, path: str) -> Host:
    if not name or "\ufffc" in name or "$" in name:
        return Host(name, port, path, "unknown")
    address = _address(name)
    if address is not None:
        return Host(str(address), port, path, _kind(address))
    if name in _METADATA:
        return Host(name, port, path, "metadata")
    if name == "localhost" or name.endswith((".localhost", ".localdomain")) or name == "ip6-localhost":
        return Host(name, port, path, "loopback")
    if name.endswith(_ECHOING):
        inner = _EMBEDDED.search(name)
        said = _address((inner[1] or f"0x{inner[2]}").replace("-", ".")) if inner is not None else None
        return Host(name, port, path, _kind(said) if said is not None else "loopback")
    inside = "." not in name or any(fnmatchcase(name, glob) for glob in _INSIDE)
    return Host(name, port, path, "private" if inside else "public")


def _address(name: str) -> IPv4Address | IPv6Address | None:
    """An address in any form that `inet_aton` takes: decimal, octal, hexadecimal, with parts left out."""
    if ":" in name:
        try:
            return _plain(IPv6Address(name))
        except ValueError:
            return None
    parts = name.split(".")
    if len(parts) > 4 or not all(_NUMBER.fullmatch(part) for part in parts):
        return None
    try:
        numbers = [_number(part) for part in parts]
        last = numbers.pop()
        if any(number > 255 for number in numbers) or last >= 256 ** (4 - len(numbers)):
            return None
        high = sum(number << (24 - 8 * at) for at, number in enumerate(numbers))
        return IPv4Address(high + last)
    except ValueError:
        return None


def _number(text: str) -> int:
    if text[:2] in ("0x", "0X"):
        return int(text[2:] or "0", 16)
    if text.startswith("0") and len(text) > 1 and set(text) <= set("01234567"):
        return int(text, 8)
    return int(text)


def _plain(address: IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 address stands for, if it does."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    number = int(address)
    if number >> 32 == int(_NAT64[0]) >> 32 or (number >> 32 == 0 and number > 0xFFFF):
        return IPv4Address(number & 0xFFFFFFFF)
    if number >> 112 == 0x2002:
        return IPv4Address(number >> 80 & 0xFFFFFFFF)
    return address


def _kind(address: IPv4Address | IPv6Address) -> Kind:
    if str(address) in _METADATA:
        return "metadata"
    if address.is_loopback or address.is_unspecified or (address.version == 4 and int(address) >> 24 == 0):
        return "loopback"
    if address.is_link_local:
        return "metadata"
    if not address.is_global or address.is_multicast or address.is_reserved:
        return "private"
    return "public"
