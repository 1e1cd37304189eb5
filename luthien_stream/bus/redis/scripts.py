"""The scripts: each is one file in `scripts/`, whose first comment says what it does and what it takes."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

from luthien_stream.bus.redis.links import COMMAND_DEADLINE_S, Command, Link, checked

USES: dict[str, tuple[str, ...]] = {
    "acquire": ("ids", "group"),
    "renew": (),
    "release": (),
    "last_words": (),
    "suspect": (),
    "settle": ("ids", "fold"),
    "spill": ("ids",),
    "trim": ("ids", "group"),
    "trim_stream": ("ids", "group"),
    "drop_partition": ("ids", "group"),
    "lag": ("ids", "group"),
    "last_id": ("ids", "group"),
    "though_full": (),
    "take_value": (),
    "remember": (),
    "count": (),
}
"""All scripts, with the files that stand before them."""

WHEN_FULL = {
    "acquire": "acquire",
    "renew": "renew",
    "last_words": "last_words",
    "suspect": "suspect",
    "close": "settle",
    "though_full": "though_full",
}
"""Scripts that a full server executes, and their files. `close` is a settle that adds nothing."""


def text(name: str) -> str:
    """Return a script's source."""
    file = WHEN_FULL.get(name, name)
    folder = files("luthien_stream.bus.redis").joinpath("scripts")
    return "".join(folder.joinpath(f"{part}.lua").read_text(encoding="utf-8") for part in (*USES[file], file))


class Scripts:
    """The scripts as one server knows them, by digest."""

    def __init__(self) -> None:
        self._texts = {name: text(name) for name in {*USES, *WHEN_FULL}}
        self._digests: dict[str, bytes] = {}

    async def load(self, link: Link) -> None:
        """Give all scripts to the server. Loading them again does no harm. Raises `BusError`."""
        names = list(self._texts)
        replies = await link.call([("SCRIPT", "LOAD", self._flagged(name)) for name in names], COMMAND_DEADLINE_S)
        for name, reply in zip(names, replies, strict=True):
            self._digests[name] = checked(reply)

    def command(self, name: str, keys: Sequence[str], *args: str | bytes | int) -> Command:
        """Return the command that runs a script that was loaded."""
        return ("EVALSHA", self._digests[name], len(keys), *keys, *args)

    def source(self, name: str) -> str:
        """Return the script's text, for a connection that can load nothing."""
        return self._texts[name]

    def _flagged(self, name: str) -> str:
        return f"#!lua flags=allow-oom\n{self._texts[name]}" if name in WHEN_FULL else self._texts[name]
