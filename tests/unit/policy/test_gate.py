"""Gates over tool calls: verdicts, and where what is shown stands."""

from __future__ import annotations

import pytest

from luthien_stream.policy import (
    Allow,
    Context,
    Deny,
    End,
    Event,
    PartEnd,
    Policy,
    Rewrite,
    Stop,
    Text,
    ToolCall,
    Verdict,
    gate,
    run,
)


@gate("Bash", "run_*")
async def guard(call: ToolCall, ctx: Context) -> Verdict:
    """Decide by the command."""
    match call.args["command"]:
        case "rm":
            return Deny("deletes", shown="No deleting.")
        case "ls":
            return Rewrite({"command": "ls -l"}, reason="longer")
        case "stop":
            return Stop("Over.", "asked to")
        case "mail":
            return Deny("sends")
    return Allow()


def call(command: str, name: str = "Bash") -> ToolCall:
    return ToolCall(command, name, f'{{"command":"{command}"}}')


def test_a_gate_is_a_policy() -> None:
    """It has a name and takes no configuration."""
    assert isinstance(guard, Policy)
    assert type(guard).__name__ == "guard"


def test_verdicts_are_applied_and_recorded() -> None:
    """Kept calls stay in order behind one text that says what was denied; only the gate's tools are looked at."""
    came: list[Event] = [call("pwd"), call("rm"), call("ls"), call("mail", "run_it"), call("rm", "Other")]
    transcript = run(guard, [*came, End("tool_calls")])
    text, *kept, end = transcript.events
    assert text == Text("No deleting.\n\nA policy blocked this tool call.")
    assert [(c.id, c.name, c.args) for c in kept if isinstance(c, ToolCall)] == [
        ("pwd", "Bash", {"command": "pwd"}),
        ("ls", "Bash", {"command": "ls -l"}),
        ("rm", "Other", {"command": "rm"}),
    ]
    assert kept[0] is came[0]
    assert end == End("tool_calls")
    assert [(v.kind, v.reason, v.about) for v in transcript.verdicts] == [
        ("allow", "", "pwd"),
        ("deny", "deletes", "rm"),
        ("rewrite", "longer", "ls"),
        ("deny", "sends", "mail"),
    ]


def test_text_before_the_first_call_flows() -> None:
    """Only what comes from the first call on is held, and stays in its order."""
    came: list[Event] = [Text("I look."), PartEnd(), call("pwd"), Text("And then"), PartEnd(), End("tool_calls")]
    assert run(guard, came).events == came
    shown = run(guard, [Text("I look."), PartEnd(), call("rm"), call("rm"), End("tool_calls")])
    assert shown.text == "I look.\n\nNo deleting."


def test_stop_lets_no_call_through() -> None:
    """Calls that were allowed before it are held, and dropped with it."""
    transcript = run(guard, [Text("a"), call("pwd"), call("stop"), End("tool_calls")])
    assert (transcript.text, transcript.tool_calls, transcript.reason) == ("a\n\nOver.", [], "stop")


@pytest.mark.parametrize("arguments", ["{", '{"other":1}'])
def test_a_gate_that_cannot_read_a_call_fails_closed(arguments: str) -> None:
    """No call passes because a check raised."""
    transcript = run(guard, [call("pwd"), ToolCall("1", "Bash", arguments)])
    assert transcript.failed
    assert transcript.tool_calls == []


def test_a_check_must_return_a_verdict() -> None:
    """Forgetting to is a failure, not an allowance."""

    @gate()
    async def forgets(call: ToolCall, ctx: Context) -> Verdict:
        return None  # type: ignore[return-value]

    assert run(forgets, [call("pwd")]).failed


def test_a_turn_with_more_calls_than_any_agent_makes_is_stopped() -> None:
    """With one verdict, and without any of them."""
    transcript = run(guard, [*(call("pwd") for _ in range(10_000)), End("tool_calls")])
    assert transcript.tool_calls == []
    assert [(verdict.kind, verdict.reason) for verdict in transcript.verdicts] == [
        ("stop", "10000 tool calls in one turn, more than 1000")
    ]
