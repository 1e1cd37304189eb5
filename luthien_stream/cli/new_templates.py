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
_HEAD = '''"""Tests of the policy @name@."""

from __future__ import annotations

from pathlib import Path

@imports@

POLICY = find("@name@", Path(__file__).parents[1] / "workers")

'''
_FIND = "from luthien_stream.policy.catalogue import find"
_LAWS = "from luthien_stream.testing.laws import laws"

TEMPLATES: Mapping[str, str] = {"text": _TEXT, "gate": _GATE, "policy": _POLICY}
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
