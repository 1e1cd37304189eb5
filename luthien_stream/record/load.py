"""Recorded calls from the bytes of a file, whatever its form: ours, a log of Inspect, transcripts, an answer alone."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

import msgspec

from luthien_stream.errors import LuthienError
from luthien_stream.record import inspect_log, jsonl, streams, transcripts
from luthien_stream.record.lanes import Record
from luthien_stream.record.version import KIND

_ZIP, _GZIP = b"PK\x03\x04", b"\x1f\x8b"
FORMS = (
    "a file of `luthien-stream export`, `show --json` lines, an Inspect log (.eval or .json), transcripts in OpenAI "
    "form (`messages`), a list of chunks, or an event stream"
)


class UnknownForm(LuthienError):
    """The file is in no form that can be read here."""


def load_bytes(name: str, data: bytes) -> Iterator[Record]:
    """Yield the calls of a file. `name` is its name: it names sessions that have none.

    Raises `LuthienError` that names the file and what is wrong with it.
    """
    if data.startswith(_GZIP):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError) as error:
            raise UnknownForm(f"{name} cannot be unpacked: {error}") from error
    stem = PurePath(name).name.split(".")[0] or "import"
    if data.startswith(_ZIP):
        yield from inspect_log.from_archive(data, stem)
    elif data.lstrip()[:6] in (b"event:", b"data: ") or data.startswith(b": "):
        yield streams.of_sse(data, stem)
    else:
        yield from _json(name, stem, data)


def _json(name: str, stem: str, data: bytes) -> Iterator[Record]:
    first = next((line for line in io.BytesIO(data) if line.strip()), b"")
    head = _parsed(first)
    if isinstance(head, dict) and (head.get("type") == KIND or {"call_id", "lanes", "events"} <= head.keys()):
        yield from jsonl.read(io.BytesIO(data))
    elif transcripts.is_transcript(head):
        for number, line in enumerate(one for one in io.BytesIO(data) if one.strip()):
            value = _parsed(line)
            if value is None:
                raise UnknownForm(f"{name}: line {number + 1} is no JSON")
            yield from transcripts.records_of(value, number, stem)
    else:
        yield from _whole(name, stem, _parsed(data))


def _whole(name: str, stem: str, value: Any) -> Iterator[Record]:
    if inspect_log.is_log(value):
        yield from inspect_log.from_json(value, stem)
    elif isinstance(value, list) and value and all(map(transcripts.is_transcript, value)):
        for number, transcript in enumerate(value):
            yield from transcripts.records_of(transcript, number, stem)
    elif transcripts.is_transcript(value):
        yield from transcripts.records_of(value, 0, stem)
    elif isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        yield streams.of_chunks(value, stem)
    else:
        raise UnknownForm(f"{name} is in no form that is known here: {FORMS}")


def _parsed(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
