"""Which files a patch changes: Codex's `*** Update File:` form, and unified diffs."""

from __future__ import annotations

import re

_BEGIN = re.compile(r"^[ \t]*\*\*\* (?:Update|Add|Delete) File:|^[ \t]*\*\*\* Move to:", re.MULTILINE)
_FILE = re.compile(r"^[ \t]*\*\*\* (?:(?:Update|Add|Delete) File|Move to):[ \t]*(.*?)[ \t\r]*$", re.MULTILINE)
_DIFF = re.compile(r"^(?:\+\+\+|---|rename to|copy to)[ \t]+([^\t\r\n]+)", re.MULTILINE)
_GIT = re.compile(r'^diff --git (?:"?a/)([^"\n]*?)"? (?:"?b/)([^"\n]*?)"?\r?$', re.MULTILINE)


def patched(text: str) -> list[str]:
    """Paths that a patch names; empty where the text is no patch."""
    if _BEGIN.search(text):
        return [path.strip("\"'") for path in _FILE.findall(text)]
    found = [path for pair in _GIT.findall(text) for path in pair]
    if found or re.search(r"^@@ ", text, re.MULTILINE):
        found += [_unprefixed(path) for path in _DIFF.findall(text)]
    return [path for path in dict.fromkeys(found) if path and path != "/dev/null"]


def _unprefixed(path: str) -> str:
    path = path.strip().strip('"')
    return path[2:] if path.startswith(("a/", "b/")) else path
