"""LiteLLM's configuration as it is: `os.environ/NAME`, its master key, and what of it has no effect here. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from msgspec.structs import replace

from luthien_stream.config.model import Auth, Config, Deployment, Key
from luthien_stream.config.read import Path
from luthien_stream.config.targets import vendor_of

Finding = tuple[Path, str]

_SECTIONS = """
guardrails include mcp_servers mcp_tools mcp_aliases callback_settings files_settings finetune_settings
credential_list assistant_settings search_tools vector_store_registry prompts policies policy_attachments
default_vertex_config vertex_ai_settings batch_settings cache_settings agent_list skills_settings
key_management_settings sandbox_tools agents worker_registry alerting_settings pass_through_endpoints sandbox_params
"""
SECTIONS = frozenset(_SECTIONS.split())
"""LiteLLM's other keys at the top of its file. None has an effect here, and `remarks` says so."""
USED: Mapping[str, frozenset[str]] = {
    "litellm_settings": frozenset({"drop_params", "num_retries", "request_timeout", "fallbacks"}),
    "router_settings": frozenset({"num_retries", "timeout", "fallbacks"}),
    "general_settings": frozenset({"master_key"}),
}
"""What is read of the sections that are not skipped whole."""
REFERENCE = "os.environ/"
MASTER_KEY = "LITELLM_MASTER_KEY"
_KEYS = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}
"""Where LiteLLM looks for a key that a deployment does not name."""


def settled(config: Config, environ: Mapping[str, str], *, auth_given: bool) -> tuple[Config, list[Finding]]:
    """The configuration with LiteLLM's references looked up and its master key as a key of the gateway.

    The findings are what cannot be: variables that are not set, keys that nobody named.
    """
    if not config.model_list and not config.general_settings:
        return config, []
    environ = {**environ, **{name: str(value) for name, value in config.environment_variables.items()}}
    findings: list[Finding] = []
    entries = []
    for number, entry in enumerate(config.model_list):
        path: Path = ("model_list", number, "litellm_params")
        params = _looked_up(entry.litellm_params, path, environ, findings)
        entries.append(replace(entry, litellm_params=_with_key(entry, params, path, environ, findings)))
    config = replace(config, model_list=tuple(entries))
    master = _looked_up(
        config.general_settings.get("master_key"), ("general_settings", "master_key"), environ, findings
    )
    if auth_given:
        return config, findings
    if master is None:
        master = environ.get(MASTER_KEY)
    if master == "" and not findings:
        findings.append((("general_settings", "master_key"), "the key is empty: set it, or write an `auth:` section"))
    if master:
        config = replace(config, auth=Auth("keys", (Key(str(master), "master_key"),)))
    return config, findings


def remarks(config: Config, skipped: list[str], *, auth_given: bool) -> Iterator[Finding]:
    """What of LiteLLM's file has no effect here: accepted, and said."""
    for key in skipped:
        more = ": write policies under `pipeline`" if key in ("guardrails", "policies") else ""
        yield (key,), f"`{key}` is LiteLLM's and has no effect here{more}"
    for section, used in USED.items():
        for key in getattr(config, section):
            if key not in used:
                yield (section, key), f"`{section}.{key}` is LiteLLM's and has no effect here"
    if auth_given and config.general_settings.get("master_key"):
        yield (
            ("general_settings", "master_key"),
            "`general_settings.master_key` has no effect here, since there is an `auth:` section",
        )


def _looked_up(value: Any, path: Path, environ: Mapping[str, str], findings: list[Finding]) -> Any:
    if isinstance(value, dict):
        return {key: _looked_up(one, (*path, key), environ, findings) for key, one in value.items()}
    if isinstance(value, list):
        return [_looked_up(one, (*path, number), environ, findings) for number, one in enumerate(value)]
    if not isinstance(value, str) or not value.startswith(REFERENCE):
        return value
    name = value.removeprefix(REFERENCE)
    if name not in environ:
        findings.append((path, f"the environment variable {name} is not set"))
    return environ.get(name, "")


def _with_key(
    entry: Deployment, params: dict[str, Any], path: Path, environ: Mapping[str, str], findings: list[Finding]
) -> dict[str, Any]:
    """The parameters with the key that LiteLLM would take from the environment, for what is spoken to without it."""
    model = str(params.get("model") or "")
    variable = _KEYS.get(str(params.get("custom_llm_provider") or vendor_of(model)))
    if variable is None or params.get("api_key") or params.get("api_base") or params.get("base_url"):
        return params
    if not environ.get(variable):
        findings.append(
            (path, f"{entry.model_name!r} has no `api_key`, and the environment variable {variable} is not set")
        )
    return {**params, "api_key": environ.get(variable, "")}
