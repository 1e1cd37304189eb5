"""Paths as they would be opened, and globs over them.

Nothing is looked up: links are not followed, and a relative path stays one. Case does not count, since on many disks it
does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from unicodedata import normalize
from urllib.parse import unquote

LONGEST = 4096
"""Characters of a path that are looked at, from its end; no system opens a longer one."""
_HOME = re.compile(
    r"(?:\$\{?home\}?|\$\{?userprofile\}?|%userprofile%|%homepath%|\$env:(?:userprofile|home)|~[\w.-]*"
    r"|(?:[a-z]:)?/+(?:home|users)/+[^/]+|/+var/+root|/+root)(?=/|$)"
)
_ROOT = re.compile(r"/+(?:private(?=/+(?:etc|var|tmp)(?:/|$))|proc/+(?:self|thread-self|\d+)/+root(?=/|$))")
_HERE = re.compile(r"(?:\$\{?pwd\}?|/+proc/+(?:self|\d+)/+cwd)/+")
_INVISIBLE = re.compile("[\x00-\x1f\x7f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_ME = "/home/~"
"""Where a home lies while `..` is resolved."""


def spellings(path: str) -> tuple[str, ...]:
    """What a path may mean, each in normal form: as it stands, percent-decoded, and from the root or a home."""
    return _spellings(path[-LONGEST:])


@lru_cache(maxsize=2048)
def _spellings(path: str) -> tuple[str, ...]:
    found = {normal(path): None}
    if path.casefold().startswith("file:") or "%" in path:
        bare = re.sub(r"(?i)^file:(?://(?:localhost)?)?", "", path)
        found |= {normal(bare): None, normal(unquote(unquote(bare))): None}
    for one in list(found):
        above = one.count("../")
        if above and one.startswith("../"):
            rest = one.lstrip("./") if "/." not in one else re.sub(r"^(?:\.\./)+", "", one)
            found[f"~/{rest}"] = None
            if above >= 3:
                found[f"/{rest}"] = None
    return tuple(found)


def normal(path: str) -> str:
    """A path without quotes, `.`, `..` and doubled slashes; below anybody's home as `~/...`, in lower case."""
    path = _INVISIBLE.sub("", normalize("NFKC", path)).strip(" \t\"'").replace("\\", "/").casefold()
    path = _ROOT.sub("", path, count=1) if _ROOT.match(path) else _HERE.sub("", path, count=1)
    home = _HOME.match(path)
    if home is not None:
        path = _ME + path[home.end() :]
    path = _resolved(path)
    return re.sub(r"^/(?:(?:home|users)/[^/]+|(?:var/)?root)(?=/|$)", "~", path)


def _resolved(path: str) -> str:
    parts: list[str] = []
    absolute = path.startswith("/")
    for part in path.split("/"):
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        elif part == ".." and absolute:
            continue
        elif part not in ("", "."):
            parts.append(_bare(part) if part != ".." else part)
    return ("/" if absolute else "") + "/".join(parts)


def _bare(name: str) -> str:
    """A name without what Windows leaves out: dots and blanks at its end, and streams (`.env::$DATA`)."""
    return re.sub(r"(?<=[^:]{2}):.*", "", name).rstrip(". ") or name


class Globs:
    """Globs over normal paths: `*` within a name, `**` over folders; without `/` or `~` at the front, at any depth.

    A folder's `**` is the folder itself, too.
    """

    def __init__(self, globs: Iterable[str]) -> None:
        self.globs = tuple(dict.fromkeys(glob.casefold() for glob in globs))
        parts = [f"(?P<g{at}>{_expression(glob)})" for at, glob in enumerate(self.globs)]
        fixed = [part for part, glob in zip(parts, self.globs, strict=True) if glob.startswith(("/", "~"))]
        loose = [part for part, glob in zip(parts, self.globs, strict=True) if not glob.startswith(("/", "~"))]
        self._pattern = re.compile(f"(?:{_any(fixed)})|(?:.*/)?(?:{_any(loose)})", re.DOTALL)
        self._examples = [_example(glob) for glob in self.globs]

    def match(self, path: str) -> str:
        """The first glob that a path, or what it may mean, is one of; empty for none. A path may have wildcards."""
        for one in spellings(path):
            found = self._pattern.fullmatch(one)
            if found is not None and found.lastgroup is not None:
                return self.globs[int(found.lastgroup[1:])]
            if re.search(r"[*?\[{]", one) and (hit := self._meant(one)):
                return hit
        return ""

    def _meant(self, wild: str) -> str:
        """The first glob with a path that a shell would find for `wild`; wildcards do not find a dot at the front."""
        wanted = re.compile(_shell_expression(wild), re.DOTALL)
        above = [re.compile(_shell_expression(wild[:at]), re.DOTALL) for at, c in enumerate(wild[:256]) if c == "/"][
            :16
        ]
        for glob, example in zip(self.globs, self._examples, strict=True):
            if any(one.fullmatch(example) for one in (wanted, *(above if glob.endswith("/**") else ()))):
                return glob
        return ""


def _expression(glob: str) -> str:
    tail = ""
    if glob.endswith("/**"):
        glob, tail = glob[:-3], r"(?:/.*)?"
    body = re.sub(r"\\\*\\\*/|\\\*\\\*|\\\*|\\\?", lambda found: _WILD[found[0]], re.escape(glob))
    return body + tail


def _any(expressions: list[str]) -> str:
    return "|".join(expressions) or r"(?!)"


_WILD = {r"\*\*/": r"(?:.*/)?", r"\*\*": r".*", r"\*": r"[^/]*", r"\?": r"[^/]"}


def _example(glob: str) -> str:
    return glob.removesuffix("/**").replace("**/", "").replace("*", "").rstrip(".-_")


def _shell_expression(wild: str) -> str:
    """A shell's wildcards, braces too; `**` is taken for `*`."""
    out: list[str] = []
    for piece in re.findall(r"\[[^\]/]+\]|\{[^{}/]*\}|.", wild[:256], re.DOTALL):
        dot = r"(?!\.)" if not out or out[-1].endswith("/") else ""
        match piece[0]:
            case "*":
                out.append(dot + r"[^/]{0,64}" if out[-1:] != [r"[^/]{0,64}"] else "")
            case "?":
                out.append(dot + r"[^/]")
            case "[" if len(piece) > 1:
                out.append(
                    dot
                    + "["
                    + re.escape(piece[1:-1].replace("!", "^", 1)).replace(r"\-", "-").replace(r"\^", "^")
                    + "]"
                )
            case "{" if len(piece) > 1:
                out.append("(?:" + "|".join(map(re.escape, piece[1:-1].split(","))) + ")")
            case _:
                out.append(re.escape(piece))
    return "(?:.*/)?" + "".join(out)
