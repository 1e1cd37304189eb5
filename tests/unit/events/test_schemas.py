"""`schemas/`: as the code has it, and every example valid and readable."""

from __future__ import annotations

import re
from pathlib import Path

import jsonschema
import msgspec
import pytest

from luthien_stream.core.digest import EMPTY, chain
from luthien_stream.edge.doors import SERVED
from luthien_stream.events import pack
from luthien_stream.events.examples import examples
from luthien_stream.events.json_form import from_json
from luthien_stream.events.log import Unknown
from luthien_stream.events.openapi import openapi
from luthien_stream.events.schema import FOLDER, PROTOCOL, files, schema_of

JSON_EXAMPLES = sorted((FOLDER / "examples").rglob("*.json"))
EVENTS = sorted(path for path in (FOLDER / "examples").rglob("*.msgpack") if path.parent.name != "packs")
PACKS = sorted((FOLDER / "examples").rglob("packs/*.msgpack"))


def name(path: Path) -> str:
    return str(path.relative_to(FOLDER / "examples"))


def test_schemas_are_what_the_code_says() -> None:
    """Whoever changes an event runs `make schemas`, and commits the result."""
    stale = [
        path
        for path, content in files().items()
        if not (FOLDER / path).exists() or (FOLDER / path).read_bytes() != content
    ]
    assert stale == []


def test_no_file_is_left_from_an_event_that_is_gone() -> None:
    """A generated folder holds nothing but what is generated."""
    made = set(files())
    left = [path.name for path in (FOLDER / "events").iterdir() if f"events/{path.name}" not in made]
    assert left == []


def test_every_type_has_an_example() -> None:
    """The examples are the whole vocabulary."""
    assert examples().keys() == pack.TYPES.keys()


@pytest.mark.parametrize("path", JSON_EXAMPLES, ids=name)
def test_examples_are_valid_under_their_schema(path: Path) -> None:
    """What we publish keeps our own contract."""
    form = msgspec.json.decode(path.read_bytes())
    schema = schema_of(form["type"])
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker()).validate(form)


@pytest.mark.parametrize("path", EVENTS, ids=name)
def test_examples_say_the_same_in_both_encodings(path: Path) -> None:
    """An example's MessagePack and JSON are one event, with no field that this release does not know."""
    event = pack.decode_event(path.read_bytes())
    _, from_text = from_json(msgspec.json.decode(path.with_suffix(".json").read_bytes()))
    assert pack.type_of(event) == path.stem
    assert event == from_text
    assert not isinstance(event, Unknown)
    assert event.extra == {}


@pytest.mark.parametrize("path", PACKS, ids=name)
def test_packs_decode(path: Path) -> None:
    """A stream entry of any release can be read, and is written again as it was."""
    raw = path.read_bytes()
    found = pack.decode(raw)
    assert found.events
    assert pack.encode(found.src, found.events) == raw


def test_a_schema_lets_new_fields_be() -> None:
    """A reader that validates does not break on the next release."""
    form = msgspec.json.decode((FOLDER / "examples/call.held.json").read_bytes())
    form["data"]["from_the_future"] = {"a": 1}
    form["futureattribute"] = "x"
    jsonschema.Draft202012Validator(schema_of("call.held")).validate(form)


def test_a_schema_refuses_what_is_wrong() -> None:
    """The schemas do say something."""
    form = msgspec.json.decode((FOLDER / "examples/chunk.received.json").read_bytes())
    form["data"]["frame"] = 7
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema_of("chunk.received")).validate(form)


def test_every_path_that_the_edge_serves_is_described() -> None:
    """The OpenAPI document and the edge name the same paths; the admin listener has its own prefix."""
    described = {
        f"{method.upper()} {path}"
        for path, item in openapi()["paths"].items()
        for method in item
        if method != "servers"
    }
    assert {one for one in described if "/luthien/api/" not in one} == set(SERVED)


def test_the_digests_on_the_page_are_right() -> None:
    """What a worker in another language checks its digest against."""
    rows = re.findall(r"^\| `(examples/.*\.msgpack)` \| (\d+) \|$", (FOLDER / PROTOCOL).read_text(), re.MULTILINE)
    assert rows
    for path, digest in rows:
        assert chain(EMPTY, pack.decode_event((FOLDER / path).read_bytes())) == int(digest)
