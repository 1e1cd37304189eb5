"""What `up` prints when all is ready: where to point a client, and what is in force."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

from luthien_stream.cli.common import DEFAULT_DATA
from luthien_stream.config.instance import Instance
from luthien_stream.config.model import DEFAULT_PIPELINE, Config, PolicyUse, split_address
from luthien_stream.events.slip import SHADOW

TEXT = """
luthien-stream is ready: {url}

Try it, no provider's key needed:

  curl -sN {url}/v1/chat/completions{key_flag} \\
    -H 'content-type: application/json' \\
    -d '{{"model": "demo/echo", "stream": true, "messages": [{{"role": "user", "content": "Hello"}}]}}'

Point your agent or SDK at it:

  Claude Code     ANTHROPIC_BASE_URL={url} {variable}claude
  Anthropic SDK   Anthropic(base_url="{url}"{argument})
  OpenAI SDK      OpenAI(base_url="{url}/v1"{argument})
  Any other       {command} setup{data_flag}

Watch it:         {command} tail{data_flag}
Policies:         {pipeline}
Data and logs:    {data}
Stop:             Ctrl-C
"""
BY_DEFAULT = "\n                  the default; `pipeline:` in luthien.yaml changes it, `pipeline: []` is for none"
KEY = "YOUR-GATEWAY-KEY"
KEY_FLAGS = {
    "passthrough": ("", "", ""),
    "keys": (f" -H 'x-luthien-key: {KEY}'", f"ANTHROPIC_AUTH_TOKEN={KEY} ", f', api_key="{KEY}"'),
    "both": (
        f" -H 'x-luthien-key: {KEY}'",
        f"ANTHROPIC_CUSTOM_HEADERS='x-luthien-key: {KEY}' ",
        f', default_headers={{"x-luthien-key": "{KEY}"}}',
    ),
}
"""How curl, Claude Code and the SDKs send the gateway's key: beside the provider's where both are wanted."""


def welcome(config: Config, instance: Instance, data: Path) -> str:
    """The text for people."""
    named = data != DEFAULT_DATA.absolute()
    key_flag, variable, argument = KEY_FLAGS[config.auth.mode]
    return TEXT.format(
        url=url(instance.listen),
        command=command(),
        key_flag=key_flag,
        variable=variable,
        argument=argument,
        pipeline=pipeline(config),
        data=data,
        data_flag=f" --data {shlex.quote(str(data))}" if named else "",
    )


def command() -> str:
    """How to type `luthien-stream` here: by its name if the shell finds it, else by its path."""
    script = Path(sys.executable).with_name("luthien-stream")
    found = shutil.which("luthien-stream")
    if not script.exists() or (found and Path(found).samefile(script)):
        return "luthien-stream"
    return shlex.quote(os.path.relpath(script))


def url(listen: str) -> str:
    """The base URL of a listener, as a client on this machine reaches it."""
    host, port = split_address(listen)
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{host}:{port}"


def pipeline(config: Config) -> str:
    """The pipeline in force, in one line."""
    if not config.pipeline:
        return "none: everything passes (name some under `pipeline:` in luthien.yaml)"
    said = " → ".join(_said(use) for use in config.pipeline)
    return said + (BY_DEFAULT if config.pipeline == DEFAULT_PIPELINE else "")


def _said(use: PolicyUse) -> str:
    if use.external:
        return f"{use.external}@{use.version} (workers of your own)"
    more = {"only watches": use.mode == SHADOW, "open on error": use.on_error == "open"}
    words = ", ".join(word for word, holds in more.items() if holds)
    return use.use + (f" ({words})" if words else "")
