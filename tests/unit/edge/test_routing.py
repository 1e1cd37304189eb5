"""Which provider answers for a model."""

from __future__ import annotations

import pytest

from luthien_stream.config.model import Config, ModelRoute, Provider
from luthien_stream.edge.refusals import ModelUnknown
from luthien_stream.edge.routing import Router
from luthien_stream.errors import ConfigError
from luthien_stream.upstream.client import url_of

LAB = Provider(base_url="http://127.0.0.1:9/v1", format="openai_chat", api_key="lab-key-000000")
CLOUD = Provider(base_url="https://example.org", format=("anthropic_messages", "openai_chat"), passthrough=True)


def test_without_configuration_every_model_goes_to_the_vendor_of_the_endpoint() -> None:
    """No providers and no models: the endpoint decides."""
    router = Router(Config())
    assert router.route("claude-x", "anthropic_messages").name == "anthropic"
    assert router.route("gpt-x", "openai_chat").provider.base_url == "https://api.openai.com/v1"


def test_a_prefix_names_the_provider() -> None:
    """`lab/llama` asks the provider `lab` for `llama`, whatever stands first."""
    router = Router(Config(providers={"cloud": CLOUD, "lab": LAB}))
    route = router.route("lab/llama", "openai_chat")
    assert (route.name, route.model) == ("lab", "llama")
    assert router.route("meta/llama", "openai_chat").model == "meta/llama"


def test_the_first_matching_rule_counts_and_keeps_or_sets_the_model() -> None:
    """`*` in `to` keeps the client's model; anything else replaces it."""
    rules = (ModelRoute("fast", "lab/llama-3"), ModelRoute("claude-*", "cloud/*"), ModelRoute("*", "lab/any"))
    router = Router(Config(providers={"cloud": CLOUD, "lab": LAB}, models=rules))
    assert router.route("fast", "openai_chat").model == "llama-3"
    assert router.route("claude-5", "anthropic_messages").model == "claude-5"
    assert router.route("gpt-9", "openai_chat").model == "any"
    assert router.listed() == ["fast"]


def test_an_unknown_model_is_refused_once_models_are_given() -> None:
    """404, but for the demo models, which need no configuration."""
    router = Router(Config(providers={"lab": LAB}, models=(ModelRoute("fast", "lab/llama"),)))
    with pytest.raises(ModelUnknown, match="gpt-5"):
        router.route("gpt-5", "openai_chat")
    assert router.route("demo/echo", "anthropic_messages").name == "demo"


def test_a_route_says_which_format_is_spoken() -> None:
    """The client's where the provider knows it, else the provider's first."""
    router = Router(Config(providers={"cloud": CLOUD, "lab": LAB}))
    assert router.route("lab/llama", "anthropic_messages").format == "openai_chat"
    assert router.route("cloud/llama", "openai_chat").format == "openai_chat"
    assert router.route("cloud/llama", "openai_responses").format == "anthropic_messages"


def test_fallbacks_stand_in_in_order_each_with_its_own_model() -> None:
    """They are routes of their own."""
    rule = ModelRoute("fast*", "lab/llama", fallbacks=("cloud/*", "groq/llama-3"))
    route = Router(Config(providers={"cloud": CLOUD, "lab": LAB}, models=(rule,))).route("fast-1", "openai_chat")
    assert [(one.name, one.model) for one in (route, *route.fallbacks)] == [
        ("lab", "llama"),
        ("cloud", "fast-1"),
        ("groq", "groq/llama-3"),
    ]


def test_a_prefix_that_is_no_provider_is_litellms() -> None:
    """The whole of it is litellm's model, in chat form."""
    rule = ModelRoute("g-*", "groq/*")
    route = Router(Config(providers={"lab": LAB}, models=(rule,))).route("g-x", "anthropic_messages")
    assert (route.name, route.model, route.format, route.litellm) == ("groq", "groq/g-x", "openai_chat", {})
    assert Router(Config(providers={"lab": LAB})).route("lab/x", "openai_chat").litellm is None


def test_an_unknown_demo_model_is_unknown() -> None:
    """`demo/` is reserved."""
    with pytest.raises(ModelUnknown):
        Router(Config()).route("demo/none", "openai_chat")


@pytest.mark.parametrize("to", ["lab", "lab/", "/lab"])
def test_a_rule_that_leads_nowhere_is_a_configuration_error(to: str) -> None:
    """Found when the edge starts, not at the first request."""
    with pytest.raises(ConfigError, match="provider/model"):
        Router(Config(providers={"lab": LAB}, models=(ModelRoute("x", to),)))


def test_paths_join_as_the_sdks_join_them() -> None:
    """OpenAI's base URL has `/v1`, Anthropic's has not; a query is kept."""
    assert str(url_of(LAB, "/v1/chat/completions", "")) == "http://127.0.0.1:9/v1/chat/completions"
    assert str(url_of(CLOUD, "/v1/messages", "beta=true")) == "https://example.org/v1/messages?beta=true"
    assert str(url_of(CLOUD, "/v1/chat/completions", "")) == "https://example.org/v1/chat/completions"
    with_v1 = Provider(base_url="https://example.org/v1/", format="anthropic_messages")
    assert str(url_of(with_v1, "/v1/messages", "")) == "https://example.org/v1/messages"
    bare = Provider(base_url="https://example.org/openai", format="openai_chat")
    assert str(url_of(bare, "/v1/models", "")) == "https://example.org/openai/models"
