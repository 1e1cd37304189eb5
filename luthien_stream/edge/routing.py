"""Which provider answers for a model: what the configuration says, or the vendor of the endpoint where it is silent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from luthien_stream.config.load import DEFAULT_PROVIDERS
from luthien_stream.config.model import Config, FormatName, Provider
from luthien_stream.config.targets import DEMO, DEMO_PROVIDER, Target, rules
from luthien_stream.edge.credentials import Vault, is_credential, is_recorded
from luthien_stream.edge.refusals import ModelUnknown

DEMO_MODELS = ("demo/echo", "demo/story", "demo/agent")


class Route(Struct, frozen=True):
    """Where a call goes: the provider's name and settings, and the model as the provider calls it."""

    name: str
    provider: Provider
    model: str
    format: FormatName
    """What is spoken to the provider: the client's format if it knows that, else its first."""
    litellm: Mapping[str, Any] | None = None
    """See `Target.litellm`."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """See `Target.defaults`."""
    fallbacks: tuple[Route, ...] = ()
    """Where the call goes, in order, if this provider fails before any content."""


class Router:
    """The configured providers and models."""

    def __init__(self, config: Config) -> None:
        """Raises `ConfigError` for a model that leads to no provider."""
        providers = config.providers or DEFAULT_PROVIDERS
        self.providers: Mapping[str, Provider] = {**providers, DEMO: DEMO_PROVIDER}
        self.rules = rules(replace(config, providers=providers))

    def route(self, model: str, format: FormatName) -> Route:
        """Return where a model is, for a client that speaks `format`. Raises `ModelUnknown`."""
        if model in DEMO_MODELS:
            return _route(Target(DEMO, DEMO_PROVIDER, model), format)
        targets = self._configured(model) if self.rules else self._named(model, format)
        if not targets:
            raise ModelUnknown(f"The model {model!r} is not configured here; GET /v1/models lists what is")
        first, *others = (_route(target, format) for target in targets)
        return replace(first, fallbacks=tuple(others)) if others else first

    def vendor(self, format: FormatName) -> Route | None:
        """The provider that a format's endpoint belongs to where no model is given."""
        for name, provider in self.providers.items():
            if name != DEMO and format in provider.formats:
                return Route(name, provider, "", format)
        return None

    def listed(self) -> list[str]:
        """The model names that the configuration gives, each once; globs are not names."""
        return list(dict.fromkeys(rule.name for rule in self.rules if not rule.is_glob))

    def _configured(self, model: str) -> tuple[Target, ...]:
        return next((found for rule in self.rules if (found := rule.find(model))), ())

    def _named(self, model: str, format: FormatName) -> tuple[Target, ...]:
        name, slash, rest = model.partition("/")
        if slash and rest and name in self.providers and name != DEMO:
            return (Target(name, self.providers[name], rest),)
        vendor = self.vendor(format)
        if vendor is None or name == DEMO:
            return ()
        return (Target(vendor.name, vendor.provider, model),)


def hide_keys(vault: Vault, route: Route) -> None:
    """Let nobody see the gateway's keys for a route and those that stand in for it."""
    for one in (route, *route.fallbacks):
        headers = [value for name, value in one.provider.headers.items() if not is_recorded(name)]
        for secret in (one.provider.api_key, *headers, *_secrets(one.litellm or {})):
            vault.hide(secret)


def _secrets(parameters: Mapping[str, Any]) -> Iterator[str]:
    for name, value in parameters.items():
        if isinstance(value, str) and is_credential(name):
            yield value
        elif isinstance(value, Mapping):
            yield from map(str, value.values())


def _route(target: Target, format: FormatName) -> Route:
    spoken = format if format in target.provider.formats else target.provider.formats[0]
    return Route(target.name, target.provider, target.model, spoken, target.litellm, target.defaults)
