"""Hosts in all the spellings that clients accept."""

from __future__ import annotations

import pytest

from luthien_stream.actions.hosts import Kind, host_of, urls_in

METADATA = "169.254.169.254"


@pytest.mark.parametrize(
    ("url", "name", "kind"),
    [
        ("https://Example.com/x?y", "example.com", "public"),
        ("example.com", "example.com", "public"),
        ("example.com.:443/x", "example.com", "public"),
        ("http://ok.com@169.254.169.254/", METADATA, "metadata"),
        ("http://ok.com\\@169.254.169.254/", "ok.com", "public"),
        ("http://169.254.169.254", METADATA, "metadata"),
        ("http://2852039166/", METADATA, "metadata"),
        ("http://0xA9FEA9FE", METADATA, "metadata"),
        ("http://0251.0376.0251.0376", METADATA, "metadata"),
        ("http://169.254.43518", METADATA, "metadata"),
        ("http://0xa9.254.0251.0xfe", METADATA, "metadata"),
        ("http://[::ffff:169.254.169.254]", METADATA, "metadata"),
        ("http://[::ffff:a9fe:a9fe]:80/", METADATA, "metadata"),
        ("http://[64:ff9b::a9fe:a9fe]", METADATA, "metadata"),
        ("http://[fd00:ec2::254]", "fd00:ec2::254", "metadata"),
        ("http://①⑥⑨.254.169.254", METADATA, "metadata"),
        ("http://169.254.169%2e254/", METADATA, "metadata"),
        ("http:169.254.169.254/", METADATA, "metadata"),
        ("http:////169.254.169.254/", METADATA, "metadata"),
        ("ht\ntp://169.254.169.254/", METADATA, "metadata"),
        ("http://metadata.google.internal/x", "metadata.google.internal", "metadata"),
        ("http://169.254.169.254.nip.io/", "169.254.169.254.nip.io", "metadata"),
        ("http://a9fea9fe.nip.io/", "a9fea9fe.nip.io", "metadata"),
        ("http://10.0.0.1", "10.0.0.1", "private"),
        ("http://192.168.1.1:8080/", "192.168.1.1", "private"),
        ("http://[fc00::1]/", "fc00::1", "private"),
        ("http://wiki/", "wiki", "private"),
        ("http://db.internal", "db.internal", "private"),
        ("localhost:3000/x", "localhost", "loopback"),
        ("http://127.1/", "127.0.0.1", "loopback"),
        ("http://0/", "0.0.0.0", "loopback"),
        ("http://[::1]:4000/", "::1", "loopback"),
        ("http://a.localhost", "a.localhost", "loopback"),
        ("http://8.8.8.8/", "8.8.8.8", "public"),
        ("http://1.2.3.4.example.com/", "1.2.3.4.example.com", "public"),
        ("file:///etc/passwd", "file", "file"),
        ("gopher://x.com:70/_x", "gopher", "file"),
        ("php:9000", "php", "private"),
        ("http://\ufffc/x", "\ufffc", "unknown"),
        ("", "", "unknown"),
        ("http://999.1.1.1", "999.1.1.1", "public"),
    ],
)
def test_hosts(url: str, name: str, kind: Kind) -> None:
    """What a client would connect to."""
    host = host_of(url)
    assert (host.name, host.kind) == (name, kind)


def test_globs() -> None:
    """Of a name, or of a name with a port."""
    host = host_of("https://api.example.com:8443/v1")
    assert (host.port, host.path) == ("8443", "/v1")
    assert host.is_any_of(("*.example.com",))
    assert host.is_any_of(("api.example.com:8443",))
    assert not host.is_any_of(("example.com", "*.example.com:443", "*example.org"))


def test_urls_in_text() -> None:
    """Where they end is not guessed generously."""
    assert list(urls_in('see https://a.b/c?d=e "http://x.y" and ftp://z')) == [
        "https://a.b/c?d=e",
        "http://x.y",
        "ftp://z",
    ]
