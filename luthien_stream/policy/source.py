"""Policy files: loading one, finding the policy in it, and its bytes for the digest."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from zlib import crc32

from luthien_stream.errors import ConfigError
from luthien_stream.policy.api import Policy
from luthien_stream.policy.pipeline import name_of


def load_file(file: Path) -> ModuleType:
    """Run a policy file. Raises `ConfigError` that says where it fails."""
    name = f"luthien_policy_{file.stem}_{crc32(str(file.absolute()).encode()):08x}"
    spec = spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{file} cannot be loaded as Python")
    module = module_from_spec(spec)
    before = sys.modules.get(name)
    sys.modules[name] = module  # annotations of structs are resolved there
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        if before is not None:
            sys.modules[name] = before  # what was loaded of this file before goes on
        raise ConfigError(f"{file}:{_line(error, file)}: {type(error).__name__}: {error}") from error
    return module


def policy_in(found: object, name: str) -> type[Policy]:
    """Return the policy that a file or entry point means: a class, a `@gate`, or the one such in a module."""
    if isinstance(found, ModuleType):
        return _only(found, name)
    cls = found if isinstance(found, type) else type(found)
    if not issubclass(cls, Policy):
        raise ConfigError(f"{name!r} is no policy; make it a subclass of Policy, or use @gate")
    return cls


def source_of(cls: type[Policy]) -> bytes:
    """Return the bytes of the file that a policy is defined in; its name where there is no file."""
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    return Path(file).read_bytes() if file else cls.__qualname__.encode()


def _only(module: ModuleType, name: str) -> type[Policy]:
    """The one policy that a module defines; of several, the one of its own name."""
    classes: dict[type[Policy], None] = {}
    for value in vars(module).values():
        cls = value if isinstance(value, type) else type(value)
        if issubclass(cls, Policy) and cls.__module__ == module.__name__:
            classes[cls] = None
    own = [cls for cls in classes if name_of(cls) == name] or list(classes)
    if len(own) != 1:
        found = ", ".join(cls.__name__ for cls in classes) or "none"
        raise ConfigError(f"{module.__file__} must define one policy, or one named {name!r}; found: {found}")
    return own[0]


def _line(error: BaseException, file: Path) -> int:
    line, trace = getattr(error, "lineno", None) or 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(file):
            line = trace.tb_lineno
        trace = trace.tb_next
    return int(line)
