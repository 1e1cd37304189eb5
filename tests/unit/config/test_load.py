"""The configuration: what is read, and what is refused with its line and the way out."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from luthien_stream.config.load import DEFAULT_PROVIDERS, load_config, policy_folder
from luthien_stream.config.model import DEFAULT_PIPELINE, Config
from luthien_stream.errors import ConfigError
from luthien_stream.policy.catalogue import load_stages


def load(tmp_path: Path, text: str, **environ: str) -> Config:
    """Load `text` as a file."""
    path = tmp_path / "luthien.yaml"
    path.write_text(textwrap.dedent(text))
    return load_config(path, environ)


def problems(tmp_path: Path, text: str, **environ: str) -> list[str]:
    """The lines of the error, each without the folder."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, **environ)
    return [line.removeprefix(f"{tmp_path}/luthien.yaml:") for line in str(caught.value).splitlines()]


def test_without_a_file_both_vendors_are_there_and_nothing_listens_outside() -> None:
    """The defaults pass everything to the vendor with the client's own credential."""
    config = load_config(None, {})
    assert config.providers == DEFAULT_PROVIDERS
    assert all(provider.passthrough and not provider.api_key for provider in config.providers.values())
    assert (config.listen, config.admin.listen) == ("127.0.0.1:8000", "127.0.0.1:8001")
    assert config.pipeline == DEFAULT_PIPELINE


@pytest.mark.parametrize("text", ["", "# only a comment\n", "{}"])
def test_an_empty_file_means_the_defaults(tmp_path: Path, text: str) -> None:
    """Every key is optional."""
    assert load(tmp_path, text) == load_config(None, {})


def test_no_policies_are_said_by_an_empty_list(tmp_path: Path) -> None:
    """Silence means the default."""
    assert load(tmp_path, "pipeline: []\n").pipeline == ()
    assert load(tmp_path, "database: none\n").pipeline == DEFAULT_PIPELINE


def test_the_default_pipeline_can_be_loaded() -> None:
    """All but the redactor, which only watches, stand in one stage."""
    stages = load_stages(DEFAULT_PIPELINE, None)
    assert [bound.name for pipeline in stages.pipelines for bound in pipeline.policies] == [
        "hidden_text",
        "shell_guard",
        "sensitive_write",
        "sql_protection",
        "secret_redact",
    ]
    assert stages.shadow is not None


def test_everything_that_can_be_said_is_read(tmp_path: Path) -> None:
    """A file with every key, variables filled in."""
    config = load(
        tmp_path,
        """
        listen: 127.0.0.1:9000
        admin: {listen: 127.0.0.1:9001}
        redis: redis://localhost
        database: none
        auth: {mode: keys, keys: [{key: "${KEY}", name: me}]}
        providers:
          lab: {base_url: "http://${HOST:-localhost}:8080/v1", format: [openai_chat], api_key: "${SECRET}"}
        models:
          - {name: "gpt-*", to: lab/*}
          - {name: hello, to: demo/echo}
        pipeline:
          - {use: token_limit, with: {limit: 5, nested: [1, {a: null}]}, on_error: open}
        """,
        KEY="k",
        SECRET="s",
    )
    assert config.auth.keys[0].key == "k"
    assert config.providers["lab"].base_url == "http://localhost:8080/v1"
    assert config.providers["lab"].api_key == "s"
    assert config.pipeline[0].with_ == {"limit": 5, "nested": [1, {"a": None}]}


def test_all_problems_come_at_once_with_their_lines(tmp_path: Path) -> None:
    """Unknown keys with the nearest known one, wrong types, missing keys, unset variables."""
    assert problems(
        tmp_path,
        """\
        lisen: 127.0.0.1:80
        auth: {mode: keyz}
        providers:
          a:
            base_url: http://x
            format: openai_chat
            api_key: ${NOPE}
            timeout_s: fast
          b: {format: openai_chat}
        pipeline:
          - use: noop
            on_eror: open
          - noop
        listen:
        redis: embedded
        redis: memory
        """,
    ) == [
        "1: unknown key `lisen`; did you mean `listen`?",
        "2: `auth.mode` is 'keyz'; expected 'passthrough' or 'keys' or 'both'",
        "7: the environment variable NOPE is not set (`${NOPE:-}` makes it optional)",
        "8: `providers.a.timeout_s` is text; expected a number",
        "9: `providers.b` needs `base_url`",
        "12: unknown key `on_eror`; did you mean `on_error`?",
        "13: `pipeline.1` is text; expected the keys use, with, on_error, timeout_s, mode, "
        "match, stage, external, version, phases",
        "14: `listen` has no value; expected text",
        "16: `redis` is written twice",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("listen: 80000", "1: `listen` is a number; expected text"),
        ("listen: localhost", "1: 'localhost' is no HOST:PORT; write for instance 127.0.0.1:8000"),
        (
            "admin: {listen: 127.0.0.1:8000}",
            "1: the agent must not reach the admin listener: give it an address of its own",
        ),
        ("redis: mysql://x", "1: write `embedded`, `memory`, or a URL with redis://, rediss:// or unix://"),
        ("database: redis://x", "1: write `embedded`, `none`, or a URL with postgresql://"),
        ("auth: {mode: both}", "1: mode `both` without keys lets nobody in: list them under auth.keys"),
        (
            "auth: {keys: [{key: a}]}",
            "1: mode `passthrough` does not ask for keys: write mode `keys` or `both`, or remove them",
        ),
        ("auth: {mode: keys, keys: [{key: a}, {key: a}]}", "1: the key is listed twice"),
        (
            "models: [{name: a, to: nowhere/b}]",
            "1: no provider 'nowhere' under providers (known: anthropic, openai, demo)",
        ),
        ("models: [{name: a, to: b}]", "1: 'b' must read provider/model; `*` keeps the client's model"),
        ("notify: http://example.com/x", "1: notify must begin with https://"),
        ("listen: 127.0.0.1:1\nnotify: [https://ok.example, ftp://x]", "2: notify must begin with https://"),
        ("pipeline: [{use: noop, timeout_s: 0}]", "1: timeout_s must be above 0"),
        (
            "providers: {a: {base_url: ftp://x, format: openai_chat}}",
            "1: base_url must begin with http:// or https:// and a host",
        ),
        ("providers: [a]", "1: `providers` is a list; expected a mapping of names"),
        (
            "pipeline: {use: noop}",
            "1: `pipeline` is a mapping; expected a list, each item the keys use, with, on_error, timeout_s",
        ),
        (
            "providers: {a: {base_url: http://x, format: chat}}",
            "1: `providers.a.format` is 'chat'; expected 'anthropic_messages' or 'openai_chat' or 'openai_responses', ",
        ),
        ("auth: keys", "1: `auth` is text; expected the keys mode, keys"),
        (
            "- listen",
            "1: the file is a list; expected the keys listen, admin, redis, ",
        ),
        ("listen: [", "2: no YAML: expected the node content, but found '<stream end>'"),
        ("listen: a b: c", "1: no YAML: mapping values are not allowed here"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_way_out(tmp_path: Path, text: str, expected: str) -> None:
    """Each problem is one line that says what to write instead."""
    assert problems(tmp_path, text + "\n")[0].startswith(expected)


OPEN_RELAY = """
listen: {listen}
auth: {{mode: {mode}, keys: {keys}}}
providers:
  paid: {{base_url: https://example.org, format: openai_chat, api_key: "{api_key}"}}
  free: {{base_url: https://example.org, format: openai_chat, passthrough: true}}
models: {models}
"""


@pytest.mark.parametrize(
    ("listen", "mode", "keys", "api_key", "models", "refused"),
    [
        ("0.0.0.0:8000", "passthrough", "[]", "k", "[]", True),
        ("'[::]:8000'", "passthrough", "[]", "k", "[{name: a, to: paid/a}]", True),
        ("127.0.0.1:8000", "passthrough", "[]", "k", "[]", False),
        ("localhost:8000", "passthrough", "[]", "k", "[]", False),
        ("0.0.0.0:8000", "keys", "[{key: x}]", "k", "[]", False),
        ("0.0.0.0:8000", "passthrough", "[]", "", "[]", False),
        ("0.0.0.0:8000", "passthrough", "[]", "k", "[{name: a, to: free/a}]", False),
    ],
)
def test_an_open_relay_is_refused(
    tmp_path: Path, listen: str, mode: str, keys: str, api_key: str, models: str, refused: bool
) -> None:
    """Nobody may spend the gateway's key from another machine without a key of the gateway."""
    text = OPEN_RELAY.format(listen=listen, mode=mode, keys=keys, api_key=api_key, models=models)
    if refused:
        assert "open relay: " in problems(tmp_path, text)[0]
    else:
        load(tmp_path, text)


def test_no_problem_prints_a_key(tmp_path: Path) -> None:
    """The values of credentials stay out of error messages."""
    text = "auth: {keys: [{key: canary1}]}\nproviders: {a: {base_url: x, format: y, api_key: [canary2]}}"
    assert "canary" not in "".join(problems(tmp_path, text))


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    """A named file must exist."""
    with pytest.raises(ConfigError, match="does not exist: name the configuration with --config"):
        load_config(tmp_path / "nowhere.yaml", {})


def test_policies_lie_beside_the_file(tmp_path: Path) -> None:
    """`workers/` next to the configuration, if it is there."""
    path = tmp_path / "luthien.yaml"
    assert policy_folder(path) is None
    (tmp_path / "workers").mkdir()
    assert policy_folder(path) == tmp_path / "workers"
