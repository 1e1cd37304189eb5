"""What `luthien.yaml` may say. Structs only; reading and checking are in `load`."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct, field

from luthien_stream.errors import ConfigError

FormatName = Literal["anthropic_messages", "openai_chat", "openai_responses"]
OnDisconnect = Literal["cancel", "drain", "park"]
"""What becomes of a call whose client goes away: it is ended, read on for the record, or kept for the client too."""


class Admin(Struct, forbid_unknown_fields=True, frozen=True):
    """The listener for people and tools; never for the agent."""

    listen: str = "127.0.0.1:8001"


class Key(Struct, forbid_unknown_fields=True, frozen=True):
    """One gateway key: `key` in the clear or as `${ENV}`, `name` for the record."""

    key: str
    name: str = ""


class Auth(Struct, forbid_unknown_fields=True, frozen=True):
    """Who may use the gateway. `passthrough`: the client's own credential goes to the provider."""

    mode: Literal["passthrough", "keys", "both"] = "passthrough"
    keys: tuple[Key, ...] = ()


class Provider(Struct, forbid_unknown_fields=True, frozen=True):
    """One upstream. `timeout_s` bounds the silence between two reads.

    `proxy` is a URL, `none`, or empty for what HTTPS_PROXY, HTTP_PROXY and NO_PROXY say. `ca_file` holds the only
    certificate authorities that count for it. `retries` is how often a failed request is sent again before any content
    came; 0 leaves that to the client, which does it anyway.
    """

    base_url: str
    format: FormatName | tuple[FormatName, ...]
    api_key: str = ""
    passthrough: bool = False
    timeout_s: float = 600.0
    connect_timeout_s: float = 10.0
    headers: dict[str, str] = field(default_factory=dict)
    proxy: str = ""
    ca_file: str = ""
    retries: int = 0

    @property
    def formats(self) -> tuple[FormatName, ...]:
        """All formats it speaks."""
        return (self.format,) if isinstance(self.format, str) else self.format


class ModelRoute(Struct, forbid_unknown_fields=True, frozen=True):
    """`name` is a glob over what clients ask for; `to` is `provider/model`, `*` keeping the client's model.

    A prefix that is no provider's name is litellm's. `fallbacks` are asked in order where `to` fails before content.
    """

    name: str
    to: str
    fallbacks: tuple[str, ...] = ()


class Deployment(Struct, frozen=True):
    """One entry of LiteLLM's `model_list`, as it is written there."""

    model_name: str
    litellm_params: dict[str, Any]
    model_info: dict[str, Any] = field(default_factory=dict)


Globs = str | tuple[str, ...]
MAIN = "main"
"""The stage of policies that name none."""


class Match(Struct, forbid_unknown_fields=True, frozen=True, omit_defaults=True):
    """Which calls a policy takes part in, by globs of which one must fit: all that are given must.

    `user` is the request's `user` or `metadata.user_id`, `key` the name of the gateway key; what a call does not have
    is empty text. `tool` narrows a gate to tools of that name.
    """

    model: Globs = "*"
    key: Globs = "*"
    user: Globs = "*"
    session: Globs = "*"
    tool: Globs = "*"


class PolicyUse(Struct, forbid_unknown_fields=True, frozen=True, rename={"with_": "with"}, omit_defaults=True):
    """One policy of the pipeline, in order. `timeout_s` bounds its effects.

    `mode: shadow` runs it beside the calls; `stage` names the group of workers that runs it, together with those next
    to it of the same stage. `external` instead of `use` is a stage whose workers are not ours: `version` and `phases`
    say which.
    """

    use: str = ""
    with_: dict[str, Any] = field(default_factory=dict)
    on_error: Literal["closed", "open"] = "closed"
    timeout_s: float = 30.0
    mode: Literal["enforce", "shadow"] = "enforce"
    match: Match = Match()
    stage: str = MAIN
    external: str = ""
    version: str = ""
    phases: tuple[Literal["request", "response"], ...] = ()


DEFAULT_PIPELINE = (
    PolicyUse("secret_redact", mode="shadow"),
    PolicyUse("hidden_text"),
    PolicyUse("shell_guard"),
    PolicyUse("sensitive_write"),
    PolicyUse("sql_protection"),
)
"""What is in force where a configuration says nothing of a `pipeline`; `pipeline: []` is for none.

`hidden_text` changes tool calls, so the gates stand behind it: `r<nothing>m` is no command, and `rm` is one.
"""


class Config(Struct, forbid_unknown_fields=True, frozen=True):
    """The whole file. `redis`: `embedded`, `memory` or a URL; `database`: `embedded`, `none` or a URL.

    `model_list` and the four mappings behind it are LiteLLM's: see `model_list`.
    """

    listen: str = "127.0.0.1:8000"
    admin: Admin = Admin()
    redis: str = "embedded"
    database: str = "embedded"
    auth: Auth = Auth()
    providers: dict[str, Provider] = field(default_factory=dict)
    models: tuple[ModelRoute, ...] = ()
    pipeline: tuple[PolicyUse, ...] = ()
    on_disconnect: OnDisconnect = "cancel"
    attach_retries_s: float = 120.0
    """For how long after a call's end an SDK's repeated request gets its answer instead of another one; 0: never."""
    responses_kept_h: float = 24.0
    """For how many hours a response is kept that `previous_response_id` may name, where the provider's will not do."""
    retention_days: int = 14
    """For how many days calls are kept on record; 0: for ever."""
    notify: str | tuple[str, ...] = ()
    """Where it is told that a call waits for a person: https URLs."""
    unpoliced: tuple[str, ...] = ()
    """What passes although no policy can see it: paths behind `/v1/` (`files`, `audio/speech`), or body options."""
    model_list: tuple[Deployment, ...] = ()
    litellm_settings: dict[str, Any] = field(default_factory=dict)
    general_settings: dict[str, Any] = field(default_factory=dict)
    router_settings: dict[str, Any] = field(default_factory=dict)
    environment_variables: dict[str, Any] = field(default_factory=dict)

    @property
    def notified(self) -> tuple[str, ...]:
        """All addresses of `notify`."""
        return (self.notify,) if isinstance(self.notify, str) else self.notify


def split_address(address: str) -> tuple[str, int]:
    """Split `HOST:PORT` (`[::1]:8000` for IPv6). Raises `ConfigError`."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"{address!r} is no HOST:PORT; write for instance 127.0.0.1:8000")
    return host.strip("[]") or "127.0.0.1", int(port)
