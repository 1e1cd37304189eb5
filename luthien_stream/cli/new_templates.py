"""What `policies new` writes: a policy of each kind that does something small, and a test that passes as written.

`@name@` stands for the policy's name, `@Name@` for its class.
"""

from __future__ import annotations

from collections.abc import Mapping

_TEXT = '''"""@name@: replace a word in what the model says, wherever the provider cut it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from luthien_stream.policy import Edit, TextPolicy


class @Name@(TextPolicy):
    """Text that may still become the word is held, nothing else."""

    word: str = "password"
    """What is looked for."""
    instead: str = "[removed]"
    """What stands there instead."""

    def edits(self, text: str, closed: bool) -> tuple[int, Sequence[Edit]]:
        """Say how many characters are decided, and what to replace in them."""
        found = [(m.start(), m.end(), self.instead) for m in re.finditer(re.escape(self.word), text)]
        if closed:
            return len(text), found
        starts = (n for n in range(min(len(self.word) - 1, len(text)), 0, -1) if self.word.startswith(text[-n:]))
        return len(text) - next(starts, 0), found
'''
_TEXT_TEST = '''
def test_the_word_is_replaced() -> None:
    """In one piece and cut in two."""
    assert run(POLICY(), [Text("The password is"), Text(" known.")]).text == "The [removed] is known."
    assert run(POLICY(), [Text("The pass"), Text("word is known.")]).text == "The [removed] is known."


def test_the_laws() -> None:
    """Any chunking, streamed or not, killed at any event: the same."""
    laws(POLICY())
'''
_GATE = '''"""@name@: decide on a tool call before the client gets it."""

from __future__ import annotations

from luthien_stream.policy import Allow, Context, Deny, ToolCall, Verdict, gate


@gate("Bash", "shell", "run_command")
async def @name@(call: ToolCall, ctx: Context) -> Verdict:
    """Deny what pushes by force; the reason is for the log, the agent is told a constant."""
    if "push --force" in str(call.args.get("command", "")):
        return Deny("a push by force", "Pushing by force is not allowed here.")
    return Allow()
'''
_GATE_TEST = '''
def test_a_push_by_force_is_denied() -> None:
    """The call is gone, and the agent is told why there is none."""
    came = run(POLICY(), [ToolCall("1", "Bash", '{"command": "git push --force"}')])
    assert came.tool_calls == []
    assert "not allowed" in came.text


def test_the_rest_passes() -> None:
    """As it came."""
    call = ToolCall("1", "Bash", '{"command": "git push"}')
    assert run(POLICY(), [call]).tool_calls == [call]


def test_the_laws() -> None:
    """Any chunking, streamed or not, killed at any event: the same."""
    laws(POLICY())
'''
_POLICY = '''"""@name@: an instruction in each request, and a bound on what comes back."""

from __future__ import annotations

from collections.abc import AsyncIterator

from luthien_stream.policy import Context, Event, Events, Policy, Request, Stop, Text


class @Name@(Policy):
    """Both phases; state of a call lives in local variables."""

    sees = frozenset({Text})

    instruction: str = "Answer briefly."
    """Added to what the client asks."""
    characters: int = 4000
    """Where the answer is ended."""

    async def request(self, request: Request, ctx: Context) -> Request:
        """Return the request for the provider. `raise Refuse(shown, reason)` would refuse it."""
        return request.add_system(self.instruction)

    async def response(self, events: Events, ctx: Context) -> AsyncIterator[Event]:
        """Yield what the client gets."""
        said = 0
        async for event in events:
            if isinstance(event, Text):
                room = self.characters - said
                said += len(event.text)
                if room < len(event.text):
                    yield event.with_text(event.text[:room])
                    raise Stop("[The answer was too long.]", f"more than {self.characters} characters")
            yield event
'''
_POLICY_TEST = '''
def test_a_long_answer_is_ended() -> None:
    """With a verdict on record."""
    came = run(POLICY(characters=5), [Text("Hello"), Text(" world")])
    assert came.text == "Hello\\n\\n[The answer was too long.]"
    assert [verdict.kind for verdict in came.verdicts] == ["stop"]


def test_the_instruction_is_added() -> None:
    """The client's own words stay."""
    asked = LENSES["openai_chat"].request(b'{"model": "m", "messages": [{"role": "user", "content": "Hello"}]}')
    request = run(POLICY(), request=asked).request
    assert request is not None
    assert [part.text for part in request.parts()] == ["Answer briefly.", "Hello"]


def test_the_laws() -> None:
    """Any chunking, streamed or not, killed at any event: the same."""
    laws(POLICY(characters=20))
'''
_MONITOR = '''"""@name@: score each turn beside the call, which it neither delays nor changes."""

from __future__ import annotations

from luthien_stream.policy import Context, Score, Turn, monitor

SIGNS = ("ignore previous instructions", "base64 -d", "/etc/shadow")


@monitor(every="turn")
async def @name@(turn: Turn, ctx: Context) -> Score:
    """Count signs in what was said and called; `await ctx.judge(...)` would ask a model."""
    said = " ".join([turn.text, *(call.arguments for call in turn.tool_calls)])
    found = [sign for sign in SIGNS if sign in said]
    return Score(len(found) / len(SIGNS), ", ".join(found))
'''
_MONITOR_TEST = '''
def test_signs_are_counted() -> None:
    """One score a turn, with what led to it."""
    call = ToolCall("1", "Bash", '{"command": "cat /etc/shadow"}')
    (verdict,) = run(POLICY(), [Text("I look."), call]).verdicts
    assert (verdict.kind, verdict.score, verdict.reason) == ("score", 1 / 3, "/etc/shadow")


def test_nothing_is_changed() -> None:
    """Whatever the score."""
    call = ToolCall("1", "Bash", '{"command": "cat /etc/shadow"}')
    assert run(POLICY(), [call]).tool_calls == [call]


def test_the_laws() -> None:
    """Any chunking, streamed or not, killed at any event: the same."""
    laws(POLICY())
'''
_HANDLER = '''"""@name@: hooks over OpenAI-shaped requests and chunks, in the older style."""

from __future__ import annotations

from typing import Any

from luthien_stream.policy.handler import Chunk, PolicyHandler, StreamControl


class @Name@(PolicyHandler):
    """Its fields are configuration; what a hook remembers of an answer belongs into `control.metadata`."""

    tool: str = "Bash"
    """The tool that ends the answer."""
    note: str = "Answer briefly."
    """Said to the model in each request."""

    def apply_request_policies(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the request, changed or not; `PolicyResult(allowed=False)` would refuse it."""
        request["messages"].append({"role": "user", "content": self.note})
        return request

    def apply_streaming_chunk_policy(self, chunk: Chunk, control: StreamControl) -> Chunk | None:
        """Return what goes on: None, a chunk, or a list of chunks. A tool call comes in one chunk."""
        for call in chunk.choices[0].delta.tool_calls or ():
            if call.function.name == self.tool:
                control.abort(f"{self.tool} was called", f"{self.tool} is not allowed here.")
                return None
        return chunk
'''
_HANDLER_TEST = '''
def test_the_tool_ends_the_answer() -> None:
    """What was said before stays."""
    came = run(POLICY(), [Text("I look."), ToolCall("1", "Bash", "{}"), Text("Done.")])
    assert came.text == "I look.\\n\\nBash is not allowed here."
    assert came.tool_calls == []
    assert [verdict.kind for verdict in came.verdicts] == ["stop"]


def test_other_tools_pass() -> None:
    """As they came."""
    call = ToolCall("1", "Read", "{}")
    assert run(POLICY(), [call]).tool_calls == [call]


def test_the_laws() -> None:
    """Any chunking, streamed or not, killed at any event: the same."""
    laws(POLICY())
'''
_HEAD = '''"""Tests of the policy @name@."""

from __future__ import annotations

from pathlib import Path

@imports@

POLICY = find("@name@", Path(__file__).parents[1] / "workers")

'''
_FIND = "from luthien_stream.policy.catalogue import find"
_LAWS = "from luthien_stream.testing.laws import laws"

TEMPLATES: Mapping[str, str] = {
    "text": _TEXT,
    "gate": _GATE,
    "policy": _POLICY,
    "monitor": _MONITOR,
    "handler": _HANDLER,
}
"""The policy's file, by kind."""
_TESTS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "text": (("from luthien_stream.policy import Text, run", _FIND, _LAWS), _TEXT_TEST),
    "gate": (("from luthien_stream.policy import ToolCall, run", _FIND, _LAWS), _GATE_TEST),
    "policy": (
        (
            "from luthien_stream.formats import LENSES",
            "from luthien_stream.policy import Text, run",
            _FIND,
            _LAWS,
        ),
        _POLICY_TEST,
    ),
    "monitor": (("from luthien_stream.policy import Text, ToolCall, run", _FIND, _LAWS), _MONITOR_TEST),
    "handler": (("from luthien_stream.policy import Text, ToolCall, run", _FIND, _LAWS), _HANDLER_TEST),
}


def policy_file(kind: str, name: str) -> str:
    """The source of a new policy."""
    return _filled(TEMPLATES[kind], name)


def test_file(kind: str, name: str) -> str:
    """The source of its test."""
    imports, body = _TESTS[kind]
    return _filled(_HEAD.replace("@imports@", "\n".join(imports)) + body, name)


def _filled(template: str, name: str) -> str:
    cls = "".join(word.capitalize() for word in name.split("_"))
    return template.replace("@name@", name).replace("@Name@", cls)
