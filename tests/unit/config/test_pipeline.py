"""What a list of policies may not say: stages, external ones, and their lines wherever the list comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from luthien_stream.config.load import load_config
from luthien_stream.config.model import Match, PolicyUse
from luthien_stream.config.written import read_pipeline, written, written_in
from luthien_stream.errors import ConfigError
from luthien_stream.policy.catalogue import load_stages
from luthien_stream.policy.pipeline import Pipeline
from luthien_stream.policy.stages import External

WHOLE = """\
- use: noop
- {use: all_caps, match: {model: "gpt-*", user: [ann, "b*"]}}
- {use: noop, mode: shadow, stage: anywhere}
- {external: words, version: "1.0", phases: [response], on_error: open}
- {use: noop, stage: last}
"""


def problems(text: str) -> list[str]:
    """The lines of the error."""
    with pytest.raises(ConfigError) as caught:
        read_pipeline(text, {"SECRET": "s3"}, lambda uses: ())
    return str(caught.value).splitlines()


def test_policies_next_to_each_other_are_one_stage() -> None:
    """Those that watch are one beside them, wherever they stand in the list; an external one is as it says."""
    stages = load_stages(read_pipeline(WHOLE, {}, lambda uses: ()), None)
    first, words, last = stages.enforcing
    assert isinstance(first, Pipeline)
    assert isinstance(last, Pipeline)
    assert [bound.name for bound in first.policies] == ["noop", "all_caps"]
    assert first.policies[1].match == Match(model="gpt-*", user=("ann", "b*"))
    assert words == External("words", "1.0", ("response",), fails_open=True)
    assert (words.stage, last.name) == ("words@1.0", "last")
    assert stages.shadow is not None
    assert stages.shadow.stage.startswith("shadow@")
    assert not stages.fails_open
    assert [pipeline.name for pipeline in stages.served_by("")] == ["main", "last"]
    assert [pipeline.name for pipeline in stages.served_by("shadow")] == ["shadow"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- {use: noop, stage: Big}", "line 1: a stage's name has lower-case letters"),
        ("- {use: noop, stage: shadow}", "line 1: the stage `shadow` is that of the policies with mode: shadow"),
        ("- {use: noop}\n- {use: noop, stage: b}\n- use: noop", "line 3: the stage `main` is further up already"),
        ("- {external: a, version: '1', phases: [request]}\n- {use: noop, stage: a}", "line 2: the stage `a` is"),
        ("- {external: a, phases: [request]}", "line 1: an external stage needs a version"),
        ("- {external: a, version: '1'}", "line 1: say what its workers take part in"),
        ("- {external: a, version: '1', phases: [request], with: {x: 1}}", "line 1: an external stage has version"),
        ("- {use: noop, version: '1'}", "line 1: version belongs to an `external` stage"),
        ("- {on_error: open}", "line 1: name a policy with `use`"),
        ("- {use: noop, match: {modle: x}}", "line 1: unknown key `modle`; did you mean `model`?"),
        ("use: noop", "line 1: the file is a mapping; expected a list"),
        ("", "line 0: it is empty; write [] for none"),
        ("[" * 3000 + "]" * 3000, "line 0: it is nested too deep"),
        ("- {use: noop, with: {a: " + "[" * 90 + "]" * 90 + "}}", "line 1: it is nested too deep"),
    ],
)
def test_what_is_wrong_has_its_line(text: str, said: str) -> None:
    """In one go, with the way out."""
    assert any(line.startswith(said) for line in problems(text)), problems(text)


def test_variables_are_read_and_not_written(tmp_path: Path) -> None:
    """What is published is what was written."""
    text = '- {use: string_replace, with: {replace: [["${SECRET}", x]]}}'
    assert read_pipeline(text, {"SECRET": "s3"}, lambda uses: ())[0].with_ == {"replace": [["s3", "x"]]}
    assert written(text) == [{"use": "string_replace", "with": {"replace": [["${SECRET}", "x"]]}}]
    path = tmp_path / "luthien.yaml"
    path.write_text(f"pipeline:\n{text}\n")
    assert written_in(path, ()) == written(text)
    path.write_text("database: none\n")
    config = load_config(path, {})
    assert written_in(path, config.pipeline)[0] == {"use": "secret_redact", "mode": "shadow"}
    assert PolicyUse("noop") == read_pipeline('[{"use": "noop"}]', {}, lambda uses: ())[0]
