"""LiteLLM's configuration, pasted as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from luthien_stream.config.load import examine, without_effect
from luthien_stream.config.model import Auth, Config, Key
from luthien_stream.edge.routing import Route, Router

PASTED = """\
model_list:
  - model_name: gpt-4o
    litellm_params: {model: openai/gpt-4o, api_key: os.environ/OPENAI_API_KEY, organization: org-1, timeout: 30}
    model_info: {mode: chat, id: "1"}
  - model_name: gpt-4o
    litellm_params:
      model: azure/my-deployment
      api_base: https://x.openai.azure.com
      api_key: os.environ/AZURE_KEY
      api_version: "2026-01-01"
      drop_params: true
      rpm: 6
  - model_name: anthropic/*
    litellm_params: {model: anthropic/*, api_key: os.environ/ANTHROPIC_API_KEY}
  - model_name: "*"
    litellm_params: {model: "*"}
  - model_name: local
    litellm_params: {model: openai/llama, api_base: http://127.0.0.1:9/v1, extra_headers: {X-A: b}, temperature: 0}
litellm_settings: {drop_params: false, num_retries: 1, callbacks: [langfuse], request_timeout: 20}
router_settings: {routing_strategy: simple-shuffle, fallbacks: [{local: [gpt-4o]}]}
general_settings: {master_key: os.environ/MASTER, database_url: "postgresql://x"}
environment_variables: {AZURE_KEY: azure-key}
guardrails: [{guardrail_name: x, litellm_params: {guardrail: presidio}}]
"""
ENVIRON = {"OPENAI_API_KEY": "openai-key", "ANTHROPIC_API_KEY": "anthropic-key", "MASTER": "sk-master"}


def loaded(tmp_path: Path, text: str = PASTED, **environ: str) -> tuple[Config | None, list[str]]:
    """The configuration and its problems, each as `LINE: message`."""
    path = tmp_path / "luthien.yaml"
    path.write_text(text)
    config, problems = examine(path, environ or ENVIRON)
    return config, [f"{problem.line}: {problem.message}" for problem in problems]


def router(tmp_path: Path, text: str = PASTED) -> Router:
    """A router for a configuration without a problem."""
    config, problems = loaded(tmp_path, text)
    assert config is not None, problems
    return Router(config)


def seen(route: Route) -> tuple[str, str, str, bool]:
    """What matters of a route: provider, model, key, whether litellm speaks."""
    return route.name, route.model, route.provider.api_key, route.litellm is not None


def test_entries_of_one_name_are_alternatives_in_order(tmp_path: Path) -> None:
    """The first natively, the second over litellm with its parameters."""
    route = router(tmp_path).route("gpt-4o", "openai_chat")
    assert seen(route) == ("openai", "gpt-4o", "openai-key", False)
    assert route.provider.headers == {"openai-organization": "org-1"}
    assert (route.provider.timeout_s, route.provider.retries) == (30, 1)
    (second,) = route.fallbacks
    assert seen(second) == ("azure", "azure/my-deployment", "azure-key", True)
    assert second.litellm is not None
    assert (second.litellm["api_version"], second.litellm["drop_params"]) == ("2026-01-01", True)
    assert second.provider.timeout_s == 20


@pytest.mark.parametrize(("asked", "expected"), [
    ("anthropic/claude-x", ("anthropic", "claude-x", "anthropic-key", False)),
    ("groq/llama", ("groq", "groq/llama", "", True)),
    ("mistral-large", ("litellm", "mistral-large", "", True)),
])  # fmt: skip
def test_wildcards_keep_what_the_star_stands_for(tmp_path: Path, asked: str, expected: object) -> None:
    """The longest one that matches counts."""
    assert seen(router(tmp_path).route(asked, "openai_chat")) == expected


def test_a_server_of_ones_own_and_defaults_of_its_requests(tmp_path: Path) -> None:
    """`api_base`, headers, and fields that go into the body; its fallbacks are LiteLLM's."""
    route = router(tmp_path).route("local", "openai_chat")
    assert seen(route) == ("openai", "llama", "", False)
    assert (route.provider.base_url, route.provider.headers) == ("http://127.0.0.1:9/v1", {"X-A": "b"})
    assert route.defaults == {"temperature": 0}
    assert [one.name for one in route.fallbacks] == ["openai", "azure"]


def test_the_master_key_is_a_key_of_the_gateway(tmp_path: Path) -> None:
    """The door is not open where LiteLLM's was shut; an `auth:` of ours counts over it."""
    config, _ = loaded(tmp_path)
    assert config is not None
    assert config.auth == Auth("keys", (Key("sk-master", "master_key"),))
    config, _ = loaded(tmp_path, PASTED + "auth: {mode: passthrough}\n")
    assert config is not None
    assert config.auth == Auth()
    only = "model_list: [{model_name: a, litellm_params: {model: groq/x}}]\n"
    config, _ = loaded(tmp_path, only, LITELLM_MASTER_KEY="sk-other")
    assert config is not None
    assert config.auth.keys[0].key == "sk-other"


def test_what_has_no_effect_is_said_and_is_no_problem(tmp_path: Path) -> None:
    """With its line."""
    (tmp_path / "luthien.yaml").write_text(PASTED)
    said = [f"{one.line}: {one.message}" for one in without_effect(tmp_path / "luthien.yaml", ENVIRON)]
    assert said == [
        "19: `litellm_settings.callbacks` is LiteLLM's and has no effect here",
        "20: `router_settings.routing_strategy` is LiteLLM's and has no effect here",
        "21: `general_settings.database_url` is LiteLLM's and has no effect here",
        "23: `guardrails` is LiteLLM's and has no effect here: write policies under `pipeline`",
    ]


def test_what_cannot_be_is_a_problem_with_its_line(tmp_path: Path) -> None:
    """Variables that are not set, keys that nobody named, values of another type."""
    text = """\
model_list:
  - model_name: a
    litellm_params: {model: groq/x, api_key: os.environ/NOPE}
  - model_name: b
    litellm_params:
      model: gpt-4o
  - model_name: c
    litellm_params: {api_key: k}
  - model_name: d
    litellm_params: {model: groq/x, timeout: soon}
  - litellm_params: {model: groq/x}
general_settings:
  master_key: os.environ/ALSO_NOT
"""
    assert loaded(tmp_path, text, SOMETHING="x")[1] == ["11: `model_list.4` needs `model_name`"]
    whole = text.replace("  - litellm_params: {model: groq/x}\n", "")
    assert loaded(tmp_path, whole, SOMETHING="x")[1] == [
        "3: the environment variable NOPE is not set",
        "5: 'b' has no `api_key`, and the environment variable OPENAI_API_KEY is not set",
        "8: litellm_params needs `model`",
        "10: timeout and num_retries must be numbers, extra_headers a mapping",
        "12: the environment variable ALSO_NOT is not set",
    ]


@pytest.mark.parametrize(("auth", "refused"), [("", True), ("auth: {mode: keys, keys: [{key: k}]}\n", False)])
def test_an_open_relay_over_litellm_is_refused(tmp_path: Path, auth: str, refused: bool) -> None:
    """litellm finds its keys in the environment: strangers would spend them."""
    text = f"listen: 0.0.0.0:8000\n{auth}models: [{{name: a, to: groq/x}}]\n"
    assert any("open relay" in problem for problem in loaded(tmp_path, text)[1]) == refused


def test_a_target_of_models_may_be_a_fallback_with_its_line(tmp_path: Path) -> None:
    """A slip in it is found."""
    text = "models:\n  - name: a\n    to: openai/x\n    fallbacks:\n      - anthropic/y\n      - nope/z\n"
    assert loaded(tmp_path, text)[1] == [
        "6: no provider 'nope' under providers (known: anthropic, openai, demo), and litellm knows none of that name"
    ]
