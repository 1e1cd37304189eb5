"""Which provider answers for a model: what the configuration says, or the vendor of the endpoint where it is silent."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

from msgspec import Struct

from luthien_stream.config.model import Config, FormatName, ModelRoute, Provider
from luthien_stream.edge.refusals import ModelUnknown, RequestInvalid
from luthien_stream.errors import ConfigError

DEMO = "demo"
DEMO_MODELS = ("demo/echo", "demo/story", "demo/agent")
DEMO_PROVIDER = Provider(
    base_url="", format=("openai_chat", "anthropic_messages", "openai_responses"), passthrough=True
)
PUBLIC = {
    "anthropic": Provider(base_url="https://api.anthropic.com", format="anthropic_messages", passthrough=True),
    "openai": Provider(
        base_url="https://api.openai.com/v1", format=("openai_chat", "openai_responses"), passthrough=True
    ),
}
"""The providers where none is configured."""


class Route(Struct, frozen=True):
    """Where a call goes: the provider's name and settings, and the model as the provider calls it."""

    name: str
    provider: Provider
    model: str


class Router:
    """The configured providers and models."""

    def __init__(self, config: Config) -> None:
        """Raises `ConfigError` for a model that leads to no provider."""
        self.providers: Mapping[str, Provider] = {**(config.providers or PUBLIC), DEMO: DEMO_PROVIDER}
        self.models = config.models
        for rule in self.models:
            name, slash, model = rule.to.partition("/")
            if not slash or not model or name not in self.providers:
                raise ConfigError(f"models: {rule.name!r} leads to {rule.to!r}: write `provider/model` with a provider "
                                  f"of {', '.join(sorted(self.providers))}")  # fmt: skip

    def route(self, model: str, format: FormatName) -> Route:
        """Return where a model is. Raises `ModelUnknown`, and `RequestInvalid` for a provider of another format."""
        if model in DEMO_MODELS:
            return Route(DEMO, DEMO_PROVIDER, model)
        found = self._configured(model) if self.models else self._named(model, format)
        if found is None:
            raise ModelUnknown(f"The model {model!r} is not configured here; GET /v1/models lists what is")
        if format not in found.provider.formats:
            spoken = " and ".join(found.provider.formats)
            raise RequestInvalid(
                f"The model {model!r} is served by {found.name!r}, which speaks {spoken}, not {format}"
            )
        return found

    def vendor(self, format: FormatName) -> Route | None:
        """The provider that a format's endpoint belongs to where no model is given."""
        for name, provider in self.providers.items():
            if name != DEMO and format in provider.formats:
                return Route(name, provider, "")
        return None

    def listed(self) -> list[str]:
        """The model names that the configuration gives; globs are not names."""
        return [rule.name for rule in self.models if not set(rule.name) & set("*?[")]

    def _configured(self, model: str) -> Route | None:
        for rule in self.models:
            if fnmatchcase(model, rule.name):
                return self._target(rule, model)
        return None

    def _target(self, rule: ModelRoute, model: str) -> Route:
        name, _, target = rule.to.partition("/")
        return Route(name, self.providers[name], target.replace("*", model, 1))

    def _named(self, model: str, format: FormatName) -> Route | None:
        name, slash, rest = model.partition("/")
        if slash and rest and name in self.providers and name != DEMO:
            return Route(name, self.providers[name], rest)
        vendor = self.vendor(format)
        if vendor is None or name == DEMO:
            return None
        return Route(vendor.name, vendor.provider, model)
