"""What kind of thing a path in a command is: nothing to lose, or everything.

Classes: `free` (made by a build, or below a temporary folder), `many` (a glob or an unknown number), `open` (not
known), `root` (all of a disk, a home, the working directory), `home`, `top` (at the top of a disk), `system`, `vital`
(a write there breaks or opens the machine), `device`, `history` (`.git`), `outside` (not below the working directory),
`sink` (`/dev/null` and its like), `own` (the gateway's, not to be written), `guarded` (not even to be read).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import lru_cache

from luthien_stream.actions.own import is_own
from luthien_stream.actions.shell.model import UNKNOWN, Word
from luthien_stream.actions.shell.tables import names

FREE = names(
    """node_modules dist build target out bin/Debug obj __pycache__ .venv venv .pytest_cache .mypy_cache .ruff_cache
    .tox .nox .cache .eggs *.egg-info htmlcov coverage .coverage .coverage.* .nyc_output .next .nuxt .turbo
    .parcel-cache .svelte-kit .angular .gradle .output cmake-build-* CMakeFiles CMakeCache.txt _build *.pyc *.pyo
    *.o *.a *.so *.obj *.class *.whl *.tsbuildinfo .DS_Store Thumbs.db nohup.out a.out core.[0-9]*
    .terraform vendor/bundle Pods DerivedData .dart_tool bower_components .ipynb_checkpoints .hypothesis
    .benchmarks test-results playwright-report storybook-static .serverless .eslintcache package-lock.json
    yarn.lock pnpm-lock.yaml wheelhouse *.dSYM buck-out bazel-* .stack-work dist-newstyle elm-stuff .vite"""
)
"""Names of what a build or a tool makes again."""
TEMPORARY = re.compile(
    r"^(?:/private)?(?:/tmp|/var/tmp|/dev/shm|/run/user/\d+)/(?!\.\.(?:/|$)|[*?]+(?:/|$))[^/]"
    r"|^/var/(?:lib/apt/lists|cache/(?:apt|yum|dnf|apk))(?:/|$)"
)
_GOES_TO = re.compile(
    r"\s*(?:set -\w+\s*(?:;|&&|\n)\s*)?cd (?:(?P<sure>/tmp|/var/tmp)/?[ \t]*(?:&&|;|\n)"
    r"|(?P<chained>(?:/tmp|/var/tmp)/[\w./-]+)(?=(?:[ \t]*&&[ \t]*[^;&|\n(){}]+)+\s*$))"
)
_HOME = re.compile(r"^(?:~|/root|/home/[^/]+|/Users/[^/]+)(?:/|$)")
_ROOT = re.compile(
    r"^(?:/+|/\*|~[\w-]*/?|~/\*|~/\.\*|/root|/home|/Users|/home/[^/]+|/Users/[^/]+|\.{1,2}|\*|\.\*|\.\./.*\.\.|/home/\*|[A-Za-z]:[\\/]?\*?)(?:/\*?)?$"
)
_SYSTEM = re.compile(
    r"^(?:/private)?/(?:etc|usr|bin|sbin|lib|lib32|lib64|boot|var|opt|dev|sys|proc"
    r"|srv|root|run|System|Library|Applications|mnt|media|snap|nix|Windows|Program Files)(?:/|$)"
)
_VITAL = re.compile(
    r"^/etc/(?:passwd|shadow|group|gshadow|sudoers|fstab|crypttab|ssh|pam\.d|security|ld\.so\.preload|sudoers\.d|crontab|cron\.\w+|init\.d|profile|hosts|resolv\.conf)"
    r"|^/boot(?:/|$)|^/proc/(?:sysrq-trigger|sys/)|^/sys/|^(?:~|/root|/home/[^/]+|/Users/[^/]+)/\.ssh(?:/|$)|^/(?:usr/)?s?bin/|^/lib|^/usr/lib|^/dev/mem"
)
_TOP = re.compile(r"^/[^/]+$")
_DEVICE = re.compile(r"^/dev/(?:sd|hd|vd|xvd|nvme|mmcblk|disk|rdisk|mapper/|md\d|loop\d|dm-|mem|kmem|port)")
_SINK = re.compile(r"^/dev/(?:null|stdout|stderr|tty|zero|fd/\d+|full|random|urandom)$|^&?\d+$|^-$|^NUL$")
_KEPT = re.compile(r"(?:^|/)(?:\.git|\.svn|\.hg)(?:/(?!index\.lock$|hooks/.*\.sample$).*)?/*$")


def begun_in(text: str) -> str:
    """The temporary folder that a text goes to before all else, empty for none.

    A folder that may not be there counts only where nothing is run without it: in a chain of `&&`.
    """
    found = _GOES_TO.match(text)
    return "" if found is None or ".." in text[: found.end()] else found["sure"] or found["chained"]


def classes(word: Word, free: Sequence[str] = ()) -> frozenset[str]:
    """The classes that a word is in; `free` are further globs of what has nothing to lose."""
    found = _classes(word.text, tuple(free))
    return found | {"many"} if word.many else found


def normal(path: str) -> str:
    """The path without `.` and doubled slashes, `..` resolved where it can be, `$HOME` and `~` the same."""
    path = re.sub(r"/(?:\./)+", "/", re.sub(r"/{2,}", "/", path))
    path = re.sub(r"^(?:\./)+(?=.)|(?<=.)/\.$", "", path)
    while (found := re.search(r"(?:^|/)(?!\.\./|\.\.$|~/)[^/]+/\.\.(?:/|$)", path)) is not None:
        lead = "/" if found.group().startswith("/") else ""
        path = path[: found.start()] + lead + path[found.end() :]
    path = re.sub(r"^/\.\.(?=/|$)", "/", path)
    path = re.sub(r"/{2,}", "/", path)
    return path.rstrip("/") or ("/" if path.startswith("/") else ".")


@lru_cache(maxsize=4096)
def _classes(path: str, free: tuple[str, ...]) -> frozenset[str]:
    path = normal(path)
    found = set()
    if UNKNOWN in path:
        found.add("open")
    for name, pattern in _PATTERNS.items():
        if pattern.search(path):
            found.add(name)
    if path.startswith(("/", "~", "..")) and not TEMPORARY.search(path):
        found.add("outside")
    if is_own(path):
        found.add("own")
    if is_own(path, "read"):
        found.add("guarded")
    if TEMPORARY.search(path) or _is_free(path, free):
        found.add("free")
    if "system" in found and TEMPORARY.search(path):
        found.discard("system")
    if found & {"root", "vital", "device", "history", "own"}:
        found.discard("free")
    return frozenset(found)


_PATTERNS = {
    "root": _ROOT,
    "system": _SYSTEM,
    "vital": _VITAL,
    "device": _DEVICE,
    "sink": _SINK,
    "history": _KEPT,
    "home": _HOME,
    "top": _TOP,
}


def _is_free(path: str, free: Sequence[str]) -> bool:
    """True where the path or a folder above it is of a name that is made again."""
    if any(fnmatchcase(path, glob) for glob in free):
        return True
    if _PATTERNS["system"].search(path):
        return False
    parts = [part for part in path.split("/") if part]
    if path.startswith("/") and len(parts) < 2:
        return False
    names = [*parts, *("/".join(parts[i : i + 2]) for i in range(len(parts) - 1))]
    return any(fnmatchcase(name, glob) for name in names for glob in FREE)
