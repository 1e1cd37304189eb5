"""A gitleaks file's rules about text are taken as they are."""

from __future__ import annotations

import pytest

from luthien_stream.text.flow import edited
from luthien_stream.text.gitleaks import rules_in
from luthien_stream.text.secret_scan import SecretScan
from luthien_stream.text.secrets import Finder

FILE = r"""
title = "rules"
[allowlist]
stopwords = ["example"]
paths = ["go.sum"]
[[rules]]
id = "one-token"
regex = '''(?i)one[\w.-]{0,10}[\s'"]{0,3}(?:=|:)\s{0,3}['"]?([a-z0-9]{12})(?:['"\s]|$)'''
entropy = 2
keywords = ["One"]
[[rules.allowlists]]
regexes = ["^0000"]
[[rules]]
id = "second"
regex = "(a|b)-([0-9]{6})"
secretGroup = 2
[[rules]]
id = "third"
regex = "either ([0-9]{6})|or ([a-f]{6})"
[[rules.allowlists]]
regexTarget = "match"
regexes = ["or f"]
stopwords = ["123"]
[[rules]]
id = "of-files"
path = "(?i)secrets"
"""


def masked(text: str) -> str:
    return edited(SecretScan(Finder(rules_in(FILE.encode())), lambda rule, secret: f"‹{rule}›"), text)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("one_key = 'abc123def456'", "one_key = '‹one-token›'"),
        ("one_key = 'aaaaaaaaaaaa'", "one_key = 'aaaaaaaaaaaa'"),
        ("one_key = '0000abcdef12'", "one_key = '0000abcdef12'"),
        ("one_key = 'example12345'", "one_key = 'example12345'"),
        ("a-123456 c-123456", "a-‹second› c-123456"),
        ("either 567890 or abcdef", "either ‹third› or ‹third›"),
        ("either 123456 or fedcba", "either 123456 or fedcba"),
    ],
)
def test_rules(text: str, left: str) -> None:
    """Groups, entropy, words and expressions that make an exception."""
    assert masked(text) == left


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("[[rules]", "no TOML"),
        ("", "no rule"),
        ("[extend]\nuseDefault = true", "useDefault"),
        ("[[rules]]\nid = 'x'\nregex = '('", "rule 'x'"),
        ("[[rules]]\nid = 'x'\nregex = '(?=a)'", "rule 'x'"),
        ("[[rules]]\nid = 'x'\nregex = 'a'\nsecretGroup = 1", "secretGroup"),
    ],
)
def test_what_cannot_be_taken_is_refused(file: str, said: str) -> None:
    """The message names the rule."""
    with pytest.raises(ValueError, match=said):
        rules_in(file.encode())
