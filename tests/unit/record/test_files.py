"""Files of recorded calls: what is written is read again, older forms too, and what is no such file is said."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import pytest

from luthien_stream import load, replay
from luthien_stream.errors import ConfigError
from luthien_stream.policy.catalogue import find
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.record.converters import UnknownVersion
from luthien_stream.record.inspect_log import BadLog
from luthien_stream.record.jsonl import BadFile, dump, read
from luthien_stream.record.lanes import final_lane
from luthien_stream.record.load import UnknownForm, load_bytes
from luthien_stream.record.speech import speech
from luthien_stream.replay.mask import masked
from luthien_stream.upstream.script import Answer, Call, Say, fragments
from tests.corpora import CORPORA
from tests.unit.replay.calls import TALK, TOOLS, recorded

RM = {"id": "1", "type": "function", "function": {"name": "Bash", "arguments": '{"command":"rm -rf /"}'}}
SECRET = "sk" + "_live_" + "Zx9Qw8Er7Ty6Ui5Op4As3Df2"
HIDDEN = Answer(
    "m", (Say(tuple(f"The key is {SECRET} and no more.")), Call("c", "Bash", fragments(f'{{"k":"{SECRET}"}}', 5)))
)


def test_what_is_written_is_read_again() -> None:
    """All of it, in order, bodies once."""
    calls = [recorded(Pipeline.of(find(name)()), TOOLS, number=i) for i, name in enumerate(("noop", "shell_guard"))]
    calls[0].label = "attack"
    found = list(read(dump(calls)))
    assert [one.call_id for one in found] == [one.call_id for one in calls]
    for one, other in zip(found, calls, strict=True):
        assert (one.chunks, one.bodies) == (other.chunks, other.bodies)
        assert (one.policies, one.label) == (other.policies, other.label)
        assert sorted(one.events, key=lambda s: (s.src, s.n)) == sorted(other.events, key=lambda s: (s.src, s.n))


def test_a_file_that_was_cut_off_is_noticed() -> None:
    """At any line."""
    lines = list(dump([recorded(Pipeline.of(find("noop")()))]))
    for upto in range(1, len(lines)):
        with pytest.raises(BadFile):
            list(read(lines[:upto]))
    with pytest.raises(BadFile):
        list(read([*lines[:3], *lines[4:]]))


NEWER = b'{"type":"luthien-stream.calls","version":99,"masked":false}'


@pytest.mark.parametrize("line", [b"", b"[]", b"{}", NEWER])
def test_what_is_no_such_file_is_said(line: bytes) -> None:
    """A newer version too."""
    with pytest.raises(UnknownVersion):
        list(read([line]))


@pytest.mark.parametrize("policy", ["noop", "all_caps"])
def test_no_secret_is_in_a_masked_file(policy: str) -> None:
    """However the stream cut it, in text and in arguments, in both lanes."""
    made = masked(recorded(Pipeline.of(find(policy)()), HIDDEN))
    said = b"".join(dump([made]))
    for secret in (SECRET, SECRET.upper(), SECRET[8:]):
        assert secret.encode() not in said
    lane = final_lane(made)
    assert SECRET not in speech("openai_chat", [(piece.kind, piece.frame) for piece in lane.pieces]).text
    assert next(read(dump([made]))).masked
    assert replay(made).status == "incomplete"


def test_the_lines_of_show_are_the_oldest_form() -> None:
    """What the release before printed can still be read."""
    golden = Path(__file__).parent / "golden" / "show.json"
    (record,) = load(golden)
    lane = final_lane(record)
    assert b"".join(piece.frame for piece in lane.pieces) == b"data: ONE\n\ndata: [DONE]\n\n"
    assert record.call_id == "01a21700-0000-7000-8000-000000000001"


def test_transcripts_become_sessions() -> None:
    """Each turn of the assistant is a call with all before it as its request."""
    messages = [
        {"role": "user", "content": "Delete it."},
        {"role": "assistant", "content": None, "tool_calls": [RM]},
        {"role": "tool", "tool_call_id": "1", "content": "done"},
        {"role": "assistant", "content": "It is gone."},
    ]  # fmt: skip
    found = list(load_bytes("t.jsonl", json.dumps({"id": 7, "messages": messages}).encode()))
    assert len(found) == 2
    assert replay(found[0], find("shell_guard")()).candidate.verdict == "deny"
    assert [one.call_id for one in load_bytes("t.jsonl", json.dumps({"id": 7, "messages": messages}).encode())] == [
        one.call_id for one in found
    ]


def test_inspect_logs_are_read() -> None:
    """A .eval archive: each model call of a sample, texts that stand once put in their places."""
    sample = {
        "id": "a", "epoch": 1, "attachments": {"h1": "a long text"}, "scores": {"s": {"value": 1}},
        "events": [{
            "event": "model", "model": "openai/gpt-x", "timestamp": "2025-03-01T10:00:00+00:00",
            "input": [{"role": "user", "content": "attachment://h1"}], "tools": [{"name": "bash", "parameters": {}}],
            "output": {"model": "gpt-x", "usage": {"input_tokens": 3, "output_tokens": 2}, "choices": [{
                "stop_reason": "tool_calls", "message": {"role": "assistant", "content": "ok", "tool_calls": [
                    {"id": "c1", "function": "bash", "arguments": {"command": "rm -rf /"}}]}}]},
        }],
    }  # fmt: skip
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("header.json", json.dumps({"eval": {"task": "t", "model": "openai/gpt-x"}}))
        archive.writestr("samples/a_epoch_1.json", json.dumps(sample))
    (record,) = load_bytes("run.eval", buffer.getvalue())
    assert b"a long text" in next(iter(record.bodies.values()))
    made = replay(record, find("shell_guard")())
    assert (made.session, made.model, made.candidate.verdict) == ("t/a/1", "gpt-x", "deny")
    with pytest.raises(BadLog):
        list(load_bytes("run.eval", b"PK\x03\x04 no archive"))


def test_what_has_no_form_is_said() -> None:
    """With the forms that there are."""
    with pytest.raises(UnknownForm, match="export"):
        list(load_bytes("x", b"hello"))
    with pytest.raises(ConfigError, match="cannot be read"):
        load("/nowhere/at/all")


STREAMS = ("recorded_no_tools_used_chunks.json", "recorded_anthropic_multiple_tools_chunks.json")


@pytest.mark.parametrize("name", STREAMS)
def test_recorded_streams_are_read(name: str) -> None:
    """Real ones: through a policy that does nothing they come out as they are."""
    file = CORPORA / name
    if not file.exists():
        pytest.skip(f"{name} is not there")
    (record,) = load(file)
    made = replay(record, find("noop")())
    assert made.status == "same"
    assert made.recorded.said.text
    assert made.recorded.frames == made.candidate.frames


def test_an_answer_alone_is_a_call() -> None:
    """The text of an event stream."""
    lane = recorded(Pipeline.of(find("noop")()), TALK).chunks["edge:e1"]
    (record,) = load_bytes("a.sse", b"".join(chunk.frame for _, chunk in sorted(lane.items())))
    assert replay(record).status == "same"
    assert replay(record, find("all_caps")()).status == "differs"
