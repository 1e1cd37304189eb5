"""What each client is told to set, in every form it is told."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import tomllib
from typing import get_args

import pytest

from luthien_stream.clients import render
from luthien_stream.clients.catalogue import CLIENTS, anything, client_of, setups
from luthien_stream.clients.launch import changes, words
from luthien_stream.clients.model import KEY, KEY_HEADER, KEY_VARIABLE, AuthMode, Gateway

URL = "http://127.0.0.1:8000"
MODES: tuple[AuthMode, ...] = get_args(AuthMode)
everyone = pytest.mark.parametrize("name", CLIENTS)
every_mode = pytest.mark.parametrize("mode", MODES)


@everyone
@every_mode
def test_a_setup_names_the_address_and_the_key_only_where_one_is_wanted(name: str, mode: AuthMode) -> None:
    """Whoever follows the text reaches the gateway, with its key if it wants one."""
    gateway = Gateway(URL, mode)
    shown = render.text(CLIENTS[name](gateway), gateway)
    assert URL in shown
    assert (KEY in shown) == (mode != "passthrough")
    assert (KEY_HEADER in shown) == (mode == "both")


@everyone
@every_mode
def test_what_is_set_reaches_the_gateway(name: str, mode: AuthMode) -> None:
    """`run` leaves no placeholder, and every client gets the address by a variable or an argument."""
    setup = CLIENTS[name](Gateway(URL, mode))
    changed = changes(setup, {}, URL, "gw-secret")
    assert URL in " ".join([*changed.values(), *setup.arguments])
    assert KEY not in " ".join([*changed.values(), *setup.arguments])


def test_anthropics_address_has_no_v1_but_for_vercel() -> None:
    """Each SDK joins its own paths to it."""
    for setup in [*setups(Gateway(URL)), anything(Gateway(URL))]:
        for variable in setup.variables:
            if variable.name in ("ANTHROPIC_BASE_URL", "ANTHROPIC_API_BASE"):
                assert variable.value == (f"{URL}/v1" if setup.client == "vercel" else URL)
            if variable.name in ("OPENAI_BASE_URL", "OPENAI_API_BASE"):
                assert variable.value == f"{URL}/v1"


@every_mode
def test_codex_reads_the_same_from_its_file_and_from_its_arguments(mode: AuthMode) -> None:
    """Both are TOML and say the same provider."""
    setup = CLIENTS["codex"](Gateway(URL, mode))
    (file,) = setup.files
    given = tomllib.loads("\n".join(setup.arguments[1::2]))
    assert tomllib.loads(file.text) == given
    provider = given["model_providers"]["luthien"]
    assert given["model_provider"] == "luthien"
    assert provider["wire_api"] == "responses"
    assert provider["supports_websockets"] is False
    assert provider["env_key"] == (KEY_VARIABLE if mode == "keys" else "OPENAI_API_KEY")
    assert provider.get("env_http_headers") == ({KEY_HEADER: KEY_VARIABLE} if mode == "both" else None)
    assert words(setup, ["codex", "exec", "hi"]) == ["codex", *setup.arguments, "exec", "hi"]


@every_mode
def test_configuration_files_are_json(mode: AuthMode) -> None:
    """What is shown can be pasted."""
    for setup in setups(Gateway(URL, mode)):
        for file in setup.files:
            assert not file.path.endswith(".json") or json.loads(file.text)


@everyone
@every_mode
def test_a_shell_takes_the_lines(name: str, mode: AuthMode) -> None:
    """Evaluated, they set the variables, with the key from the shell's own."""
    setup = CLIENTS[name](Gateway(URL, mode))
    script = render.shell(setup) + "env -0"
    done = subprocess.run(
        ["sh", "-c", script], capture_output=True, env={"PATH": "/usr/bin:/bin", KEY_VARIABLE: "a b'c"}, check=True
    )
    found = dict(line.split("=", 1) for line in done.stdout.decode().split("\0") if line)
    expected = {variable.name: variable.value.replace(KEY, "a b'c") for variable in setup.variables}
    assert {variable: found[variable] for variable in expected} == expected


def test_a_shell_without_the_key_says_which_variable_is_missing() -> None:
    """Nothing is set to an empty key."""
    script = render.shell(CLIENTS["claude"](Gateway(URL, "keys")))
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})
    assert done.returncode != 0
    assert KEY_VARIABLE in done.stderr


@pytest.mark.parametrize("command", ["claude", "/usr/local/bin/claude", "claude.exe", "Claude.CMD"])
def test_a_command_is_known_by_its_files_name(command: str) -> None:
    """Wherever it lies."""
    assert client_of(command) == "claude"


def test_an_unknown_command_gets_every_variable() -> None:
    """A script may use any SDK."""
    assert client_of("python") == ""
    names = {variable.name for variable in anything(Gateway(URL)).variables}
    assert {"OPENAI_BASE_URL", "ANTHROPIC_BASE_URL", "OPENAI_API_BASE", "ANTHROPIC_API_BASE"} <= names


def test_a_switch_of_the_users_stays() -> None:
    """`run` brings back what the address turned off, unless somebody decided otherwise."""
    setup = CLIENTS["claude"](Gateway(URL))
    assert changes(setup, {}, URL, "")["ENABLE_TOOL_SEARCH"] == "true"
    assert "ENABLE_TOOL_SEARCH" not in changes(setup, {"ENABLE_TOOL_SEARCH": "false"}, URL, "")
    assert "CLAUDE_CODE_DISABLE_EXPERIMENTAL_BETAS" not in changes(setup, {}, URL, "")


def test_a_proxy_is_not_asked_for_the_gateway() -> None:
    """Only where there is a proxy, and beside what it is not asked for already."""
    setup = CLIENTS["claude"](Gateway(URL))
    assert "NO_PROXY" not in changes(setup, {}, URL, "")
    changed = changes(setup, {"HTTP_PROXY": "http://proxy:3128", "NO_PROXY": "example.org"}, URL, "")
    assert changed["NO_PROXY"] == changed["no_proxy"] == "example.org,127.0.0.1"
    assert "NO_PROXY" not in changes(setup, {"HTTP_PROXY": "http://proxy:3128", "NO_PROXY": "a,127.0.0.1"}, URL, "")


def test_the_list_names_every_client() -> None:
    """And how to see more."""
    shown = render.overview(Gateway(URL), "more: CLIENT")
    assert all(f"  {name} " in shown for name in CLIENTS)
    assert shown.endswith("more: CLIENT\n")


def test_lines_for_people_are_lines_for_a_shell() -> None:
    """A person may paste a single one of them."""
    assert shutil.which("sh")
    gateway = Gateway(URL, "both")
    for setup in setups(gateway):
        exports = [line.strip() for line in render.text(setup, gateway).splitlines() if line.startswith("  export ")]
        for line in exports:
            assert "=" in shlex.split(line, comments=True)[1]
