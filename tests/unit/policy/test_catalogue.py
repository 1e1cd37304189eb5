"""Finding policies, reading their configuration, and the version of a pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from luthien_stream.config.model import PolicyUse
from luthien_stream.errors import ConfigError
from luthien_stream.policy import Text, ToolCall, run
from luthien_stream.policy.catalogue import find, load_pipeline, names
from luthien_stream.policy.pipeline import Pipeline

SHOUT = '''
"""Shout."""
from luthien_stream.policy import Policy, Text

class Shout(Policy):
    mark: str = "!"

    async def response(self, events, ctx):
        async for event in events:
            yield event.with_text(event.text + self.mark) if isinstance(event, Text) else event
'''
GATE = """
from luthien_stream.policy import Allow, Deny, gate

@gate("Bash")
async def no_bash(call, ctx):
    return Deny()
"""


def loaded(*uses: PolicyUse, folder: Path | None = None) -> Pipeline:
    pipeline = load_pipeline(uses, folder)
    assert pipeline is not None
    return pipeline


def refused(*uses: PolicyUse, folder: Path | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load_pipeline(uses, folder)
    return str(caught.value)


def test_no_policies_are_no_pipeline() -> None:
    """A gateway without policies has no stage."""
    assert load_pipeline([], None) is None


def test_a_file_is_a_policy(tmp_path: Path) -> None:
    """Its stem is the name, its fields are the configuration."""
    (tmp_path / "shout.py").write_text(SHOUT)
    pipeline = loaded(PolicyUse("shout", {"mark": "?"}), folder=tmp_path)
    assert run(pipeline, [Text("hi")]).text == "hi?"
    assert pipeline.policies[0].name == "shout"


def test_a_gate_is_found_by_its_file(tmp_path: Path) -> None:
    """A decorated function needs no class."""
    (tmp_path / "no_bash.py").write_text(GATE)
    pipeline = loaded(PolicyUse("no_bash"), folder=tmp_path)
    assert run(pipeline, [ToolCall("1", "Bash", "{}")]).tool_calls == []


def test_own_policies_come_before_built_in_ones(tmp_path: Path) -> None:
    """A file of the same name replaces a built-in policy."""
    (tmp_path / "noop.py").write_text(SHOUT)
    assert run(loaded(PolicyUse("noop"), folder=tmp_path), [Text("hi")]).text == "hi!"
    assert find("noop").__name__ == "Noop"


def test_the_built_in_ones_are_named() -> None:
    """What ships can be listed; a README is no policy."""
    assert {"noop", "all_caps", "string_replace", "token_limit", "block_tools"} <= set(names())
    assert "README" not in names()


def test_an_unknown_name_says_what_is_near(tmp_path: Path) -> None:
    """The message names the policies it could have been, and where was looked."""
    text = refused(PolicyUse("al_cap"), folder=tmp_path)
    assert "near it: all_caps" in text
    assert str(tmp_path) in text


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "`max_tokens`"),
        ({"max_tokens": "many"}, "$.max_tokens"),
        ({"max_tokens": 1, "tokens": 1}, "`tokens`"),
        ({"max_tokens": 0}, "at least 1"),
    ],
)
def test_a_wrong_configuration_names_the_field(config: dict[str, Any], said: str) -> None:
    """The message says which policy, which field, and what the policy takes."""
    text = refused(PolicyUse("token_limit", config))
    assert "'token_limit'" in text
    assert said in text
    assert "It takes max_tokens (required), characters_per_token" in text


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import nothing_of_this_name", "broken.py:1: ModuleNotFoundError"),
        ("x = 1\n1 / 0", "broken.py:2: ZeroDivisionError"),
        ("def (", "broken.py:1: SyntaxError"),
        ("x = 1", "must define one policy"),
        (SHOUT + SHOUT.replace("Shout", "Other"), "found: Shout, Other"),
    ],
)
def test_a_file_that_is_no_policy_says_why(tmp_path: Path, source: str, said: str) -> None:
    """File and line stand in the message."""
    (tmp_path / "broken.py").write_text(source)
    assert said in refused(PolicyUse("broken"), folder=tmp_path)


def test_a_policy_whose_own_code_fails_is_refused_like_any_other(tmp_path: Path) -> None:
    """Whatever it raises: nobody else's process may end of it."""
    (tmp_path / "breaks.py").write_text(SHOUT + "\n    def __post_init__(self):\n        {}[self.mark]\n")
    (tmp_path / "leaves.py").write_text("raise SystemExit(3)\n")
    (tmp_path / "unwritten.py").write_text(SHOUT.replace('mark: str = "!"', "mark: object = object()"))
    with pytest.raises(ConfigError, match="'breaks' cannot be made: KeyError"):
        load_pipeline([PolicyUse("breaks")], tmp_path)
    with pytest.raises(ConfigError, match=r"leaves\.py:1: SystemExit"):
        load_pipeline([PolicyUse("leaves")], tmp_path)
    with pytest.raises(ConfigError, match="'unwritten' cannot be made"):
        load_pipeline([PolicyUse("unwritten")], tmp_path)


def test_what_cannot_fail_open_says_so() -> None:
    """A policy that may have put out half of a text has nothing whole to pass on."""
    text = refused(PolicyUse("string_replace", {"replace": [["a", "b"]]}, on_error="open"))
    assert "cannot have on_error: open" in text
    assert loaded(PolicyUse("noop", on_error="open")).fails_open
    assert not loaded(PolicyUse("noop", on_error="open"), PolicyUse("all_caps")).fails_open


def test_the_version_is_of_code_and_configuration(tmp_path: Path) -> None:
    """The same files and fields give the same stage wherever they lie; any change gives another one."""
    here, there = tmp_path / "a", tmp_path / "b"
    for folder in (here, there):
        folder.mkdir()
        (folder / "shout.py").write_text(SHOUT)
    one = loaded(PolicyUse("shout"), folder=here)
    assert one.version == loaded(PolicyUse("shout"), folder=there).version
    assert one.stage == f"main@{one.version[:8]}"
    (there / "shout.py").write_text(SHOUT + "# changed\n")
    others = [
        loaded(PolicyUse("shout"), folder=there),
        loaded(PolicyUse("shout", {"mark": "?"}), folder=here),
        loaded(PolicyUse("shout", on_error="open"), folder=here),
        loaded(PolicyUse("shout", timeout_s=1), folder=here),
        loaded(PolicyUse("shout"), PolicyUse("shout"), folder=here),
    ]
    assert len({one.version, *(other.version for other in others)}) == 6


def test_the_version_does_not_depend_on_the_order_of_a_set(tmp_path: Path) -> None:
    """Two processes hold the same set in different orders; they must serve the same stage."""
    (tmp_path / "shout.py").write_text(SHOUT.replace("mark: str", "levels: set[int] = set()\n    mark: str"))
    one, other = (loaded(PolicyUse("shout", {"levels": levels}), folder=tmp_path) for levels in ([0, 8], [8, 0]))
    assert one.version == other.version


def test_phases_are_the_methods_that_are_defined(tmp_path: Path) -> None:
    """A stage without a response phase lets answers pass straight."""
    source = SHOUT.replace("response(self, events, ctx)", "request(self, request, ctx)").replace("yield", "pass;")
    (tmp_path / "shout.py").write_text(source.split("        async for")[0] + "        return request\n")
    assert loaded(PolicyUse("shout"), folder=tmp_path).phases == ("request",)
    assert loaded(PolicyUse("noop")).phases == ("response",)
    assert loaded(PolicyUse("shout"), PolicyUse("noop"), folder=tmp_path).phases == ("request", "response")
