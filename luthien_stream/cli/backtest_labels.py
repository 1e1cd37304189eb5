"""Labels of calls from a file, before those on record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from luthien_stream.errors import ConfigError
from luthien_stream.replay.case import Case


class Label(Struct, frozen=True):
    """One line. `call` is a call's id, or `session` a session's."""

    label: Literal["attack", "benign"]
    call: str = ""
    session: str = ""


def read_labels(path: Path | None) -> Mapping[str, str]:
    """Labels by call or session id. Raises `ConfigError`, with the line."""
    if path is None:
        return {}
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            one = _read(line, path, number)
            found[one.call or one.session] = one.label
    return found


def labelled(cases: Sequence[Case], labels: Mapping[str, str]) -> list[Case]:
    """The cases, with the labels of the file where it has one."""
    return [
        replace(case, label=labels.get(case.call_id) or labels.get(case.session) or case.label) if labels else case
        for case in cases
    ]


def _read(line: bytes, path: Path, number: int) -> Label:
    try:
        one = msgspec.json.decode(line, type=Label)
    except msgspec.MsgspecError as error:
        raise ConfigError(f"{path}:{number}: {error}; a line is " + _FORM) from error
    if not (one.call or one.session):
        raise ConfigError(f"{path}:{number}: names no call; a line is " + _FORM)
    return one


_FORM = '{"call": ID, "label": "attack"} or "benign", or with "session" in place of "call"'
