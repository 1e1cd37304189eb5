"""The rules of a gitleaks file: what is said of text in them; rules about files and commits say nothing here."""

from __future__ import annotations

import tomllib
from typing import Any

from luthien_stream.text.pattern import compiled
from luthien_stream.text.secrets import Rule

REACH = 512
"""How far before a word a match may begin: the file does not say."""


def rules_in(file: bytes) -> tuple[Rule, ...]:
    """Read the rules. Raises `ValueError` that names the rule that cannot be taken."""
    try:
        said = tomllib.loads(file.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"The gitleaks file is no TOML: {error}") from error
    if said.get("extend", {}).get("useDefault"):
        raise ValueError("`extend.useDefault` names rules that are not in the file; give the whole file of gitleaks")
    common = _allowed(said)
    rules = tuple(_rule(one, common) for one in said.get("rules", ()) if one.get("regex") and not one.get("path"))
    if not rules:
        raise ValueError("The gitleaks file has no rule with a `regex`")
    return rules


def _rule(said: dict[str, Any], common: tuple[list[str], list[str]]) -> Rule:
    name = str(said.get("id", "unnamed"))
    try:
        words = tuple(str(word).lower() for word in said.get("keywords", ()))
        group, bits = int(said.get("secretGroup", 0)), float(said.get("entropy", 0))
        allowed, stopwords = (a + b for a, b in zip(common, _allowed(said), strict=True))
        groups = compiled(str(said["regex"])).groups
        if group > groups:
            raise ValueError(f"`secretGroup` is {group}, and the expression has {groups} groups")
        for expression in allowed:
            compiled(expression)
    except (TypeError, ValueError) as error:
        raise ValueError(f"The gitleaks rule {name!r} cannot be taken: {error}") from error
    if any(word.split() != [word] for word in words):
        words = ()
    unless, stop = tuple(allowed), tuple(word.lower() for word in stopwords)
    return Rule(name, str(said["regex"]), words, REACH, group, bits, unless=unless, stopwords=stop)


def _allowed(said: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Expressions and words that make a secret none; of lists that only look at the secret."""
    lists = [*said.get("allowlists", ()), *([said["allowlist"]] if "allowlist" in said else ())]
    plain = [
        one for one in lists if one.get("regexTarget", "secret") == "secret" and one.get("condition", "OR") == "OR"
    ]
    plain = [one for one in plain if not one.get("targetRules")]
    return (
        [str(regex) for one in plain for regex in one.get("regexes", ())],
        [str(word) for one in plain for word in one.get("stopwords", ())],
    )
