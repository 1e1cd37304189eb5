"""Makes `schemas/`, the contract for everyone outside this code: `python -m luthien_stream.events.schema`.

Everything there is generated, but for the prose of `worker-protocol.md`, whose tables are written between its marks.
`files` is the whole result, so that a test finds what was changed here and not generated again.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from luthien_stream.events import log, pack
from luthien_stream.events.examples import examples
from luthien_stream.events.json_form import BASE64, ENVELOPE, SEQUENCE_DIGITS, to_json
from luthien_stream.events.openapi import openapi
from luthien_stream.events.tables import with_tables

FOLDER = Path(__file__).parents[2] / "schemas"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
PROTOCOL = "worker-protocol.md"
_ENTRY = "1767225600000-0"
_ENVELOPE: dict[str, dict[str, Any]] = {
    "specversion": {"const": "1.0"},
    "id": {
        "type": "string",
        "description": "`call/source/sequence`; without a sequence, type and a digest of the content.",
    },
    "source": {"type": "string", "description": "The producer: `edge:…`, `stage:…`, `record:…`, `console:…`."},
    "type": {"type": "string"},
    "time": {"type": "string", "format": "date-time", "description": "When it happened, microseconds, UTC."},
    "sequence": {
        "type": "string",
        "pattern": f"^[0-9]{{{SEQUENCE_DIGITS},}}$",
        "description": "Counts per (call, source) from 0 without holes; absent where an event carries none.",
    },
    "correlationid": {"type": "string", "description": "The call's id, a UUIDv7."},
    "causationid": {"type": "string", "description": "The id of the event that caused this one."},
    "traceparent": {"type": "string", "description": "W3C trace context."},
    "prevdigest": {
        "type": "string",
        "pattern": "^[0-9a-f]{8}$",
        "description": "CRC-32 of the stage's lane before it.",
    },
    "entryid": {"type": "string", "description": "The id of the stream entry that held it."},
}
_BYTES = {
    "description": f"Bytes: text where they are valid UTF-8, else an object with `{BASE64}`.",
    "oneOf": [
        {"type": "string"},
        {
            "type": "object",
            "properties": {BASE64: {"type": "string", "contentEncoding": "base64"}},
            "required": [BASE64],
            "additionalProperties": False,
        },
    ],
}


def schema_of(kind: str) -> dict[str, Any]:
    """Return the JSON Schema of one type's JSON form."""
    cls = pack.TYPES[kind]
    made = msgspec.json.schema(cls)
    defs = {name: _opened(one) for name, one in made["$defs"].items()}
    data = _described(defs.pop(cls.__name__), cls)
    description = data.pop("description")
    data["properties"] = {name: one for name, one in data["properties"].items() if name not in ENVELOPE}
    data["required"] = [name for name in data["required"] if name not in ENVELOPE]
    uses_bytes = any(one.get("$ref") == "#/$defs/Bytes" for one in data["properties"].values())
    envelope = {**_ENVELOPE, "type": {"const": kind}}
    return {
        "$schema": DIALECT,
        "$id": f"urn:luthien-stream:event:{kind}",
        "title": kind,
        "description": description,
        "type": "object",
        "properties": {**envelope, "data": data},
        "required": ["specversion", "id", "source", "type", "data"],
        "additionalProperties": True,
        "$defs": {**defs, **({"Bytes": _BYTES} if uses_bytes else {})},
    }


def files() -> dict[str, bytes]:
    """Return path in `schemas/` to content, for all generated files."""
    made: dict[str, bytes] = {}
    for kind, (src, event) in examples().items():
        made[f"events/{kind}.schema.json"] = _pretty(schema_of(kind))
        made[f"examples/{kind}.json"] = _pretty(to_json(event, src, _ENTRY))
        made[f"examples/{kind}.msgpack"] = pack.encode_event(event)
    made |= {f"examples/packs/{name}.msgpack": raw for name, raw in _packs()}
    made["openapi.json"] = _pretty(openapi())
    made["index.json"] = _pretty(_index())
    made[PROTOCOL] = with_tables((FOLDER / PROTOCOL).read_text(encoding="utf-8")).encode()
    return made


def main() -> int:
    """Write all files; with `--check` only say which differ, exit code 1 if any does."""
    stale = {path: content for path, content in files().items() if _content(FOLDER / path) != content}
    for path, content in stale.items():
        print(f"schemas/{path}")  # noqa: T201 (a command)
        if "--check" not in sys.argv:
            (FOLDER / path).parent.mkdir(parents=True, exist_ok=True)
            (FOLDER / path).write_bytes(content)
    return 1 if stale and "--check" in sys.argv else 0


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _pretty(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def _index() -> dict[str, Any]:
    types = {kind: _first_line(cls.__doc__ or "") for kind, cls in pack.TYPES.items()}
    return {
        "$comment": "All event types; each has events/<type>.schema.json and examples/<type>.json and .msgpack.",
        "events": [{"type": kind, "says": says} for kind, says in types.items()],
    }


def _packs() -> Iterator[tuple[str, bytes]]:
    """One pack of every producer, as stream entries hold them."""
    by_src: dict[str, list[log.AnyEvent]] = {}
    for src, event in examples().values():
        by_src.setdefault(src, []).append(event)
    for src, events in by_src.items():
        yield src.partition(":")[0], pack.encode(src, events)


def _opened(schema: Any) -> Any:
    """Let unknown fields be, as the log does, and give bytes their JSON form."""
    if isinstance(schema, list):
        return [_opened(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("contentEncoding") == "base64":
        return {"$ref": "#/$defs/Bytes"}
    opened = {key: _opened(one) for key, one in schema.items()}
    return {**opened, "additionalProperties": True} if "properties" in opened else opened


def _described(schema: dict[str, Any], cls: type) -> dict[str, Any]:
    says = field_docs(cls)
    described = {name: {**one, "description": says[name]} for name, one in schema["properties"].items() if name in says}
    return {**schema, "properties": {**schema["properties"], **described}}


def field_docs(cls: type) -> dict[str, str]:
    """Return the docstrings that stand below a class's fields."""
    body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    assert isinstance(body, ast.ClassDef)
    docs = {}
    for node, after in zip(body.body, body.body[1:], strict=False):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and isinstance(after, ast.Expr):
            docs[node.target.id] = str(ast.literal_eval(after.value))
    return docs


def _first_line(doc: str) -> str:
    return doc.strip().split("\n")[0]


if __name__ == "__main__":
    raise SystemExit(main())
