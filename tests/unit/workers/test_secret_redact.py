"""`secret_redact` takes secrets out of requests and answers, wherever they stand and however they are cut."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from statistics import quantiles
from typing import Any

import msgspec
import pytest

from luthien_stream.core.lens import Request
from luthien_stream.events.answer import Part
from luthien_stream.formats import LENSES
from luthien_stream.policy import End, Event, Opaque, PartEnd, Policy, Text, Thinking, ToolCall, Transcript, run
from luthien_stream.policy.facts import CallFacts
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.testing.laws import laws
from luthien_stream.testing.rig import call_log, drive, frames, program
from luthien_stream.text.flow import Flow
from luthien_stream.text.known_secrets import KNOWN
from luthien_stream.text.secret_scan import SecretScan
from luthien_stream.text.secrets import Finder
from luthien_stream.upstream.render import STREAMS
from luthien_stream.upstream.script import Answer, Call, Say, Think, fragments
from tests.unit.text.carried import CARRIERS, cut, said, written
from tests.unit.text.samples import DENSE, HARMLESS, PEM, SECRETS, TOKENS, TOLD
from tests.unit.workers.configured import made

GITHUB, NPM = TOKENS["github"], TOKENS["npm"]
PLACEHOLDER = re.compile(r"‹secret:[0-9a-f]{4}›")
LINES = [line for line in DENSE.replace(PEM, "").split("\n") if 0 < len(line) < 400 and line not in HARMLESS]


def redact(*events: Event, **config: Any) -> Transcript:
    return run(made("secret_redact", **config), events)


def dense(chance: random.Random) -> str:
    """Some dense text, sometimes with a private key in it."""
    lines = chance.sample(LINES, 3)
    if chance.random() < 0.1:
        lines[1:2] = [PEM, "So far."]
    return "\n".join(lines)


def chunkings(total: int, seed: int) -> Iterator[tuple[str, str, list[bytes], list[bytes]]]:
    """Random texts in every format and carrier: what leaves of the text in one piece, and of it cut at random."""
    chance = random.Random(seed)
    pipeline = Pipeline.of(made("secret_redact"))
    for number in range(total):
        (form, carrier), render = list(CARRIERS.items())[number % len(CARRIERS)]
        text = written(carrier, dense(chance))
        whole, pieces = (
            frames(drive(program(pipeline), call_log(form, render(cuts)))) for cuts in ([text], cut(text, chance))
        )
        yield form, carrier, whole, pieces


def check_chunkings(total: int, seed: int) -> None:
    """No secret leaves, and the cuts do not matter."""
    for form, carrier, whole, pieces in chunkings(total, seed):
        left, expected = said(form, pieces), said(form, whole)
        assert left == expected, (form, carrier)
        assert "‹secret:" in left.get(carrier, "‹secret:"), (form, carrier)
        everything = json.dumps(left, ensure_ascii=False) + b"".join(pieces).decode()
        leaked = [secret for secret in SECRETS if secret in everything]
        assert leaked == [], (form, carrier)


def test_no_character_leaks_however_a_text_is_cut() -> None:
    """In every format and carrier; `make test-long` tries ten thousand."""
    check_chunkings(300, 1)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_ten_thousand_chunkings() -> None:
    """The figures are printed: how many characters are held when a frame has been taken."""
    check_chunkings(10_000, 2)
    chance, finder = random.Random(3), Finder(KNOWN)
    for what, more in (("without private keys", []), ("with private keys", [PEM])):
        held: list[int] = []
        for _ in range(500):
            flow = Flow(lambda: SecretScan(finder, lambda rule, secret: "‹secret›"))
            for piece in cut("\n".join([*chance.sample(LINES, 3), *more]), chance):
                flow.take(Text(piece))
                held.append(flow.held)
        marks = quantiles(held, n=100)
        print(f"held characters, {what}: p50 {marks[49]:.0f}, p95 {marks[94]:.0f}, most {max(held)}")  # noqa: T201


def test_a_placeholder_is_the_same_for_the_same_secret() -> None:
    """In a session, whatever stands around it; in another session, or under a key, it is another."""

    def names(text: str, session: str = "s1", **config: Any) -> list[str]:
        call = CallFacts("c", session=session)
        return PLACEHOLDER.findall(run(made("secret_redact", **config), [Text(text)], call=call).text)

    (one,) = names(GITHUB)
    assert names(f'"{GITHUB}", export GH_TOKEN={GITHUB}') == [one, one]
    assert names(NPM) != [one]
    assert names(GITHUB, "s2") != [one]
    keyed = names(GITHUB, key="k")
    assert keyed != [one]
    assert names(GITHUB, "s2", key="k") == keyed


def test_placeholders_stay() -> None:
    """What is masked is not masked again."""
    text = redact(Text(DENSE)).text
    assert redact(Text(text)).text == text


def test_verdicts_name_rules_and_counts() -> None:
    """Never the secret; nothing is recorded where there is none."""
    transcript = redact(Text(f"{GITHUB} {GITHUB} "), ToolCall("1", "t", json.dumps({"password": "hunter2x"})))
    assert [(v.kind, v.reason) for v in transcript.verdicts] == [
        ("rewrite", "2 × github-token"),
        ("rewrite", "1 × assigned-secret"),
    ]
    assert redact(Text("Nothing here.")).verdicts == []


def test_tool_arguments() -> None:
    """Strings at any depth, names of fields, what a field's name tells, and arguments that are no JSON."""
    args = {"a": [{"b": f"x {GITHUB}"}], NPM: 1, "db": {"password": "hunter2hunter2"}, "n": 1.50}
    (call,) = redact(ToolCall("1", "t", json.dumps(args))).tool_calls
    masked = PLACEHOLDER.sub("#", json.dumps(call.args, ensure_ascii=False))
    assert masked == '{"a": [{"b": "x #"}], "#": 1, "db": {"password": "#"}, "n": 1.5}'
    for kind in ("custom", "function"):
        (call,) = redact(ToolCall("1", "t", f"echo {GITHUB} {{", kind=kind)).tool_calls
        assert PLACEHOLDER.sub("#", call.arguments) == "echo # {"
    untouched = ToolCall("1", "t", '{ "a" : "plain" }')
    assert redact(untouched).tool_calls[0] is untouched
    escaped = json.dumps({"a": GITHUB}).replace("g", "\\u0067")
    (call,) = redact(ToolCall("1", "t", escaped)).tool_calls
    assert PLACEHOLDER.sub("#", call.args["a"]) == "#"


def test_signed_thinking_with_a_secret_is_dropped_whole() -> None:
    """It cannot be edited; without one it leaves as it came."""
    part, other = Part("f", "thinking", 0), Part("f", "text", 1)
    bad: list[Event] = [Thinking(piece, part, True) for piece in ("I use ", GITHUB[:9], GITHUB[9:], " now")]
    good: list[Event] = [Thinking("I think.", part, True), PartEnd(part)]
    end: list[Event] = [Text("Done.", other), PartEnd(other), End("stop")]
    assert redact(*bad, PartEnd(part), *end).events == [PartEnd(part), *end]
    assert redact(*good, *end).events == [*good, *end]


def test_what_cannot_be_looked_at_is_withheld() -> None:
    """And is on record."""
    transcript = redact(Opaque("web_search_tool_result"), Text("Found."))
    assert [type(event) for event in transcript.events] == [Text, End]
    assert [v.reason for v in transcript.verdicts] == ["1 × web_search_tool_result withheld"]


def asked(form: str, **fields: Any) -> Request:
    """A request with a secret in each of its parts."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": f"My token is {GITHUB}."}]
    match form:
        case "anthropic_messages":
            called = {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": f"echo {NPM}"}}
            result = {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": f"{NPM}\n"}]}
            messages += [{"role": "assistant", "content": [called]}, {"role": "user", "content": [result]}]
            fields |= {"messages": messages, "system": f"password: {TOLD['password'][1]}", "max_tokens": 9}
        case "openai_chat":
            function = {"name": "Bash", "arguments": json.dumps({"command": f"echo {NPM}"})}
            calls = [{"id": "t1", "type": "function", "function": function}]
            messages += [
                {"role": "assistant", "reasoning_content": f"Say {GITHUB}", "tool_calls": calls},
                {"role": "tool", "tool_call_id": "t1", "content": NPM},
            ]
            fields |= {"messages": [{"role": "system", "content": f"password: {TOLD['password'][1]}"}, *messages]}
        case "openai_responses":
            arguments = json.dumps({"command": f"echo {NPM}"})
            called = {"type": "function_call", "call_id": "t1", "name": "Bash", "arguments": arguments}
            result = {"type": "function_call_output", "call_id": "t1", "output": NPM}
            fields |= {"input": [*messages, called, result], "instructions": f"password: {TOLD['password'][1]}"}
    return LENSES[form].request(msgspec.json.encode({"model": "m", "stream": True, **fields}))


@pytest.mark.parametrize("form", LENSES)
def test_requests(form: str) -> None:
    """System, what users and tools say, and calls in the history."""
    transcript = run(made("secret_redact"), request=asked(form))
    assert transcript.request is not None
    body = transcript.request.body.decode()
    assert [secret for secret in SECRETS if secret in body] == []
    assert len(set(PLACEHOLDER.findall(body))) == 3
    assert {v.phase for v in transcript.verdicts} == {"request"}
    assert "reasoning_content" not in body


@pytest.mark.parametrize("form", LENSES)
def test_a_request_without_secrets_keeps_its_bytes(form: str) -> None:
    """The very same object."""
    request = LENSES[form].request(b'{ "model":"m", "max_tokens": 9, "input":"Hi", "messages":[{"role":"user"}]}')
    transcript = run(made("secret_redact"), request=request)
    assert transcript.request is not None
    assert transcript.request.body is request.body


@pytest.mark.parametrize("form", LENSES)
def test_trusted_tools_get_the_secrets_back(form: str) -> None:
    """Those of the request, and no others."""
    policy = made("secret_redact", unmask=["Bash"])
    request = asked(form)
    sent = run(policy, request=request).request
    assert sent is not None
    (name,) = [found for part in sent.parts() if part.kind == "tool_result" for found in PLACEHOLDER.findall(part.text)]
    args = {"command": f"login {name} ‹secret:zzzz› ‹secret:0000›"}
    calls = [ToolCall(name, name, json.dumps(args)) for name in ("Bash", "Fetch")]
    trusted, other = run(policy, calls, request=request).tool_calls
    assert trusted.args == {"command": f"login {NPM} ‹secret:zzzz› ‹secret:0000›"}
    assert other.args == args


def test_secrets_go_back_where_the_call_is_run_from_its_log() -> None:
    """Request and answer of one call, as a worker has them."""
    form, request = "openai_chat", asked("openai_chat")
    policy = made("secret_redact", unmask=["Bash"])
    sent = run(policy, request=request, call=CallFacts("c1")).request
    assert sent is not None
    (name,) = [found for part in sent.parts() if part.kind == "tool_result" for found in PLACEHOLDER.findall(part.text)]
    answer = Answer("m", (Call("c1", "Bash", (json.dumps({"command": f"login {name}"}),)),), "tool_calls")
    log = call_log(form, STREAMS[form](answer, True), request=request.body)
    left = said(form, frames(drive(program(Pipeline.of(policy)), log)))
    assert json.loads(left["tool"]) == {"command": f"login {NPM}"}


def test_a_secret_of_the_model_s_own_stays_masked() -> None:
    """Trusted tools get what the client sent, and no more."""
    (call,) = run(
        made("secret_redact", unmask=["*"]), [ToolCall("1", "Bash", json.dumps({"c": GITHUB}))], request=HELLO
    ).tool_calls
    assert PLACEHOLDER.fullmatch(call.args["c"])


HELLO = LENSES["openai_chat"].request(b'{"model":"m","messages":[{"role":"user","content":"Hello"}]}')
SIGNED, LONG = (tuple(cut(text, random.Random(5))) for text in (f"signed {NPM} ", dense(random.Random(5))))
CORPUS = (
    Answer("m", (Think(SIGNED, "c2ln"), Say(LONG))),
    Answer(
        "m", (Say(("I write.",)), Call("c1", "Write", fragments(json.dumps({"text": f"a {GITHUB} b"})))), "tool_calls"
    ),
)


def test_laws() -> None:
    """It holds to the laws of all policies, on text that has what it looks for."""
    laws(made("secret_redact"), CORPUS[1:])


@pytest.mark.long
def test_laws_on_long_answers() -> None:
    """The same on dense text and on what all policies are tried with."""
    laws(made("secret_redact"), CORPUS)
    laws(made("secret_redact"))


def test_rules_of_a_gitleaks_file(tmp_path: Any) -> None:
    """They take the place of the built-in ones; the file's digest is part of the version."""
    file = tmp_path / "gitleaks.toml"
    file.write_text("[[rules]]\nid = 'mine'\nregex = '''tok-([0-9]{4})'''\nkeywords = ['tok-']\n")
    transcript = redact(Text(f"tok-1234 {GITHUB} "), gitleaks=str(file))
    assert PLACEHOLDER.sub("#", transcript.text) == f"tok-# {GITHUB} "
    policy = made("secret_redact", gitleaks=str(file))
    digest = msgspec.to_builtins(policy)["gitleaks_digest"]
    assert len(digest) == 64
    made("secret_redact", gitleaks=str(file), gitleaks_digest=digest)
    with pytest.raises(msgspec.ValidationError, match="has the digest"):
        made("secret_redact", gitleaks=str(file), gitleaks_digest="0" * 64)
    with pytest.raises(msgspec.ValidationError, match="cannot be read"):
        made("secret_redact", gitleaks=str(tmp_path / "none"))


def test_it_always_fails_closed() -> None:
    """A redactor that fails lets nothing through."""
    policy: Policy = made("secret_redact")
    assert policy.redacts


@pytest.mark.parametrize(
    "fields", ['"a": "{}", "a": "x"', '"b": {"a": "{}", "a": 1}', '"a": "{}", "b": 1, "\\u0061": []']
)
def test_a_field_that_is_there_twice_hides_nothing(fields: str) -> None:
    """Readers of JSON take the last one, and it is the one that is left."""
    arguments = "{" + fields.replace("{}", GITHUB) + "}"
    (call,) = redact(ToolCall("1", "Write", arguments)).tool_calls
    assert GITHUB not in call.arguments
    assert call.args == json.loads(arguments)
    once = '{"a": 1' + "0" * 5000 + ', "b": {"a": "x"}}'
    assert redact(ToolCall("1", "Write", once)).tool_calls[0].arguments == once
