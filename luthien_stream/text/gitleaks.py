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
    common = _allowlists(said)
    rules = tuple(_rule(one, common) for one in said.get("rules", ()) if one.get("regex") and not one.get("path"))
    if not rules:
        raise ValueError("The gitleaks file has no rule with a `regex`")
    return rules


def _rule(said: dict[str, Any], common: list[dict[str, Any]]) -> Rule:
    name = str(said.get("id", "unnamed"))
    try:
        words = tuple(str(word).lower() for word in said.get("keywords", ()))
        group, bits = int(said.get("secretGroup", 0)), float(said.get("entropy", 0))
        allowed = [*common, *_allowlists(said)]
        unless, unless_match = _regexes(allowed, "secret"), _regexes(allowed, "match")
        groups = compiled(str(said["regex"])).groups
        if group > groups:
            raise ValueError(f"`secretGroup` is {group}, and the expression has {groups} groups")
        for expression in (*unless, *unless_match):
            compiled(expression)
    except (TypeError, ValueError) as error:
        raise ValueError(f"The gitleaks rule {name!r} cannot be taken: {error}") from error
    if any(word.split() != [word] for word in words):
        words = ()
    stopwords = tuple(str(word).lower() for one in allowed for word in one.get("stopwords", ()))
    regex = str(said["regex"])
    return Rule(name, regex, words, REACH, group, bits, unless=unless, unless_match=unless_match, stopwords=stopwords)


def _allowlists(said: dict[str, Any]) -> list[dict[str, Any]]:
    """What makes an exception, where that is told by the secret alone."""
    lists = [*said.get("allowlists", ()), *([said["allowlist"]] if "allowlist" in said else ())]
    return [one for one in lists if one.get("condition", "OR") == "OR" and not one.get("targetRules")]


def _regexes(allowed: list[dict[str, Any]], target: str) -> tuple[str, ...]:
    lists = [one.get("regexes", ()) for one in allowed if one.get("regexTarget", "secret") == target]
    return tuple(str(regex) for one in lists for regex in one)
