"""Where a model's calls go: `models` and LiteLLM's `model_list` as one table of rules. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from luthien_stream.config.litellm_names import LITELLM_PREFIXES
from luthien_stream.config.model import Config, Deployment, ModelRoute, Provider
from luthien_stream.errors import ConfigError

DEMO = "demo"
"""The provider that is always there and needs no key."""
DEMO_PROVIDER = Provider(base_url="", format=("openai_chat", "anthropic_messages", "openai_responses"))
OPENAI_URL = "https://api.openai.com/v1"
ANTHROPIC_URL = "https://api.anthropic.com"
LITELLM_URL = "http://litellm/v1"
"""Stands for the Unix socket of `luthien-stream upstream`; nothing else is ever asked under this name."""
WILD = frozenset("*?[")
_OPENAI_NAMES = re.compile(r"(gpt-|chatgpt-|o\d(-|$)|text-embedding-|codex-)")
_NAMES = """
model api_key api_base base_url organization timeout stream_timeout request_timeout extra_headers headers
max_retries num_retries drop_params additional_drop_params custom_llm_provider api_version
"""
_SETTINGS = frozenset(_NAMES.split())
"""Parameters of a deployment that say how to reach it; every other one is a default of its requests or `_ROUTING`."""
_ROUTING = re.compile(
    r"(rpm|tpm|weight|order|tags|max_parallel_requests|budget_duration|max_budget|cooldown_time|use_in_pass_through"
    r"|use_litellm_proxy|merge_reasoning_content_in_choices|(input|output|cache).*_cost.*|mock_.*|model_info)"
)


class Target(Struct, frozen=True):
    """One way to answer for a model: the provider under its name, and the model as it calls it."""

    name: str
    provider: Provider
    model: str
    litellm: Mapping[str, Any] | None = None
    """Parameters for litellm, credentials included, where it does the talking; None for what we speak ourselves."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the request's body where the client does not set them."""


class Rule(Struct, frozen=True):
    """`name` is a glob over what clients ask for; the first target answers, the others stand in for it, in order."""

    name: str
    targets: tuple[Target, ...]
    captures: bool = False
    """A `*` in a target's model stands for what the glob's `*` matched, as in LiteLLM; else for the whole name."""

    @property
    def is_glob(self) -> bool:
        """Whether it stands for more than one name."""
        return bool(WILD & set(self.name))

    def find(self, model: str) -> tuple[Target, ...]:
        """The targets with `model` put in; none where the rule does not match."""
        if not fnmatchcase(model, self.name):
            return ()
        kept = _captured(self.name, model) if self.captures else model
        return tuple(_settled(replace(target, model=target.model.replace("*", kept, 1))) for target in self.targets)


def rules(config: Config) -> tuple[Rule, ...]:
    """All rules; the first that matches counts. Raises `ConfigError` for a target that cannot be."""
    return (*_from_models(config), *_from_model_list(config))


def target_of(config: Config, to: str) -> Target:
    """The target that `provider/model` names: a configured provider's, else litellm's. Raises `ConfigError`."""
    name, slash, model = to.partition("/")
    if not slash or not name or not model:
        raise ConfigError(f"{to!r} must read provider/model; `*` keeps the client's model")
    if name == DEMO:
        return Target(DEMO, DEMO_PROVIDER, model)
    if name in config.providers:
        return Target(name, config.providers[name], model)
    if name not in LITELLM_PREFIXES:
        known = ", ".join([*config.providers, DEMO])
        raise ConfigError(f"no provider {name!r} under providers (known: {known}), and litellm knows none of that name")
    return Target(name, _over_litellm({}), to, litellm={})


def needs_litellm(config: Config) -> bool:
    """Whether any route leads to litellm, so that `luthien-stream upstream` must run."""
    return any(target.litellm is not None for rule in rules(config) for target in rule.targets)


def _from_models(config: Config) -> Iterator[Rule]:
    for route in config.models:
        yield Rule(route.name, tuple(target_of(config, to) for to in targets_named(route)))


def targets_named(route: ModelRoute) -> tuple[str, ...]:
    """`to` and the fallbacks."""
    return (route.to, *route.fallbacks)


def _from_model_list(config: Config) -> Iterator[Rule]:
    """Entries of one name are alternatives in order; exact names come before globs, and longer globs before others."""
    by_name: dict[str, list[Target]] = {}
    for entry in config.model_list:
        by_name.setdefault(entry.model_name, []).append(deployed(config, entry))
    for name, others in _fallbacks(config):
        if name in by_name:
            by_name[name] += [
                deployed(config, e) for other in others for e in config.model_list if e.model_name == other
            ]
    found = [Rule(name, tuple(targets), captures=True) for name, targets in by_name.items()]
    yield from sorted(found, key=lambda rule: (rule.is_glob, -len(rule.name) if rule.is_glob else 0))


def _fallbacks(config: Config) -> Iterator[tuple[str, Sequence[str]]]:
    for settings in (config.litellm_settings, config.router_settings):
        for one in settings.get("fallbacks") or ():
            yield from one.items()


def deployed(config: Config, entry: Deployment) -> Target:
    """The target of one entry of `model_list`. Raises `ConfigError`."""
    params = {"num_retries": _default(config, "num_retries"), "timeout": _timeout(config), **entry.litellm_params}
    model = params.get("model")
    if not isinstance(model, str) or not model:
        raise ConfigError("litellm_params needs `model`")
    if config.litellm_settings.get("drop_params") is not None:
        params.setdefault("drop_params", config.litellm_settings["drop_params"])
    target = Target(str(params.get("custom_llm_provider") or ""), _over_litellm(params), model, litellm=params)
    return target if model == "*" else _settled(target)


def _settled(target: Target) -> Target:
    """A deployment as what it is once its model is known: OpenAI's and Anthropic's are spoken to without litellm.

    Not where their key is to be found in the environment: litellm looks there.
    """
    if not target.litellm:
        return target
    params, vendor = target.litellm, target.name or vendor_of(target.model)
    reachable = params.get("api_key") or params.get("api_base") or params.get("base_url")
    if vendor not in ("openai", "anthropic") or not reachable or params.get("mock_response") is not None:
        return replace(target, name=vendor or "litellm")
    return Target(
        vendor, _native(vendor, params), target.model.removeprefix(f"{vendor}/"), defaults=_body_defaults(params)
    )


def vendor_of(model: str) -> str:
    """Whose a LiteLLM model is: its prefix, or for a bare name what it sounds like; empty if it says none."""
    prefix, slash, _ = model.partition("/")
    if slash:
        return prefix
    return "anthropic" if model.startswith("claude-") else "openai" if _OPENAI_NAMES.match(model) else ""


def _native(vendor: str, params: Mapping[str, Any]) -> Provider:
    base = str(params.get("api_base") or params.get("base_url") or "").rstrip("/")
    headers = {str(k): str(v) for k, v in (params.get("extra_headers") or params.get("headers") or {}).items()}
    if params.get("organization"):
        headers["openai-organization"] = str(params["organization"])
    base = base.removesuffix("/v1/messages" if vendor == "anthropic" else "/chat/completions")
    return replace(
        _over_litellm(params),
        base_url=base or (ANTHROPIC_URL if vendor == "anthropic" else OPENAI_URL),
        format="anthropic_messages" if vendor == "anthropic" else "openai_chat",
        headers=headers,
    )


def _over_litellm(params: Mapping[str, Any]) -> Provider:
    timeout = params.get("timeout")
    retries = params.get("num_retries") or params.get("max_retries")
    return Provider(
        base_url=LITELLM_URL,
        format="openai_chat",
        api_key=str(params.get("api_key") or ""),
        timeout_s=float(timeout) if timeout else 600.0,
        retries=int(retries) if retries else 0,
    )


def _body_defaults(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if name not in _SETTINGS and not _ROUTING.fullmatch(name)}


def _default(config: Config, key: str) -> Any:
    return config.router_settings.get(key, config.litellm_settings.get(key))


def _timeout(config: Config) -> Any:
    return config.router_settings.get("timeout", config.litellm_settings.get("request_timeout"))


def _captured(glob: str, model: str) -> str:
    """What the glob's first `*` stands for in `model`; the whole name where there is none."""
    before, star, after = glob.partition("*")
    if not star or WILD & set(before + after):
        return model
    return model[len(before) : len(model) - len(after)]
