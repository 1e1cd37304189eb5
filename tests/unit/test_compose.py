"""The container files: the compose file against its published schema, and what it promises."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from luthien_stream.config.load import load_config
from luthien_stream.embedded import valkey

ROOT = Path(__file__).parents[2]
ROLES = {"edge": "edge", "upstream": "upstream", "worker": "worker", "watcher": "worker", "activity": "activity"}
"""Service to the role that it runs."""


@pytest.fixture
def compose() -> dict[str, Any]:
    """The compose file with its anchors resolved."""
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


def test_the_compose_file_fits_its_schema(compose: dict[str, Any]) -> None:
    """Models made from the compose specification take it, and refuse a key that does not exist."""
    from compose_pydantic.models import ComposeSpecification  # type: ignore[import-untyped]
    from pydantic import ValidationError

    known = {key: value for key, value in compose.items() if not key.startswith("x-")}
    ComposeSpecification.model_validate(known)
    known["services"]["edge"]["pots"] = []
    with pytest.raises(ValidationError):
        ComposeSpecification.model_validate(known)


def test_only_this_machine_can_reach_it(compose: dict[str, Any]) -> None:
    """One port is published, on loopback; the log and the record are on a network without a way out."""
    ports = {name: service["ports"] for name, service in compose["services"].items() if "ports" in service}
    assert ports == {"edge": ["127.0.0.1:8000:8000"]}
    assert compose["networks"]["inside"] == {"internal": True}
    assert all(
        compose["services"][name]["networks"] == ["inside"]
        for name in ("log", "record", "worker", "watcher", "activity")
    )


def test_no_service_runs_as_root_and_each_has_a_health_check(compose: dict[str, Any]) -> None:
    """The image has a user of its own; the servers name theirs."""
    for name, service in compose["services"].items():
        assert "healthcheck" in service, name
        assert name in ROLES or service["user"] not in ("root", "0"), name
    users = re.findall(r"^USER (\S+)$", (ROOT / "ops/Dockerfile").read_text(), re.MULTILINE)
    assert users == ["luthien"]


def test_each_role_runs_the_command_of_its_name(compose: dict[str, Any]) -> None:
    """The services are the roles of `luthien-stream`."""
    assert {name: compose["services"][name]["command"][0] for name in ROLES} == ROLES
    assert compose["services"]["watcher"]["command"][1:3] == ["--stage", "shadow"]


def test_the_edge_finds_the_litellm_server_in_the_folder_that_they_share(compose: dict[str, Any]) -> None:
    """It is started only where it is asked for, and cannot reach the log or the record."""
    upstream, edge = compose["services"]["upstream"], compose["services"]["edge"]
    assert upstream["profiles"] == ["litellm"]
    assert upstream["networks"] == ["outside"]
    assert "edge:/data" in upstream["volumes"]
    assert "edge:/data" in edge["volumes"]
    assert upstream["command"][-2:] == edge["command"][-2:] == ["--data", "/data"]


def test_the_configuration_of_the_services_is_good(compose: dict[str, Any]) -> None:
    """It names the services, and the log is set up like the embedded one."""
    config = load_config(ROOT / "ops/luthien.yaml", {"LUTHIEN_PASSWORD": "p"})
    assert config.redis == "redis://:p@log:6379/0"
    assert config.database == "postgresql://luthien:p@record:5432/luthien"
    command = compose["services"]["log"]["command"][-1]
    for setting in ("appendonly yes", "appendfsync everysec", "maxmemory-policy noeviction"):
        assert setting in valkey.CONFIGURATION
        assert f"--{setting}" in command


def test_the_image_installs_with_the_makefile() -> None:
    """The Dockerfile copies only what is there and builds with `make install`."""
    text = (ROOT / "ops/Dockerfile").read_text()
    assert "RUN make install" in text
    for line in re.findall(r"^COPY (?:--\S+ )?(.+) \S+$", text, re.MULTILINE):
        assert all((ROOT / source).exists() for source in line.split())
