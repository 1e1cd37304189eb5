"""Log lines of every role: readable on a terminal, JSON otherwise, on stderr, credentials cut out of both."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Mapping
from typing import Any

import structlog
from structlog.typing import EventDict, Processor

SECRET_KEY = re.compile(
    r"(authorization|api[-_]?key|password|passwd|secret|cookie|credential|(^|[-_])token|(^|[-_])key)$", re.IGNORECASE
)
SECRET_VALUE = re.compile(r"\bsk-[\w-]{6,}|\b(?:Bearer|Basic)\s+[\w.~+/=-]+|(?<=://)[^/\s@]+@", re.IGNORECASE)
MARKER = "[redacted]"


def redact(value: Any) -> Any:
    """The value without credentials, however deep they lie."""
    if isinstance(value, str):
        return SECRET_VALUE.sub(MARKER, value)
    if isinstance(value, Mapping):
        return {key: _redact_item(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact(item) for item in value]
    return value if isinstance(value, int | float | None) else SECRET_VALUE.sub(MARKER, str(value))


def _redact_item(key: str, value: Any) -> Any:
    return MARKER if isinstance(value, str) and value and SECRET_KEY.search(key) else redact(value)


def _redact_event(_logger: object, _method: str, event: EventDict) -> EventDict:
    return {key: value if key.startswith("_") else _redact_item(key, value) for key, value in event.items()}


def configure(role: str) -> None:
    """Set up logging for this process. `LUTHIEN_LOG=json|console` and `LUTHIEN_LOG_LEVEL=debug|info|warning` choose."""

    def name_role(_logger: object, _method: str, event: EventDict) -> EventDict:
        return {"role": role, **event}

    level = logging.getLevelNamesMapping().get(os.environ.get("LUTHIEN_LOG_LEVEL", "info").upper(), logging.INFO)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        name_role,
        structlog.processors.format_exc_info,
        _redact_event,
    ]
    renderer = _renderer(os.environ.get("LUTHIEN_LOG", ""))
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
    _take_in_libraries(shared, renderer)


def keep_off_output() -> None:
    """Let what a command logs by the way go to standard error: what it prints may be read by a program."""
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))


def _renderer(wish: str) -> Processor:
    if wish == "console" or (wish != "json" and sys.stderr.isatty()):
        plain = structlog.dev.plain_traceback
        return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)
    return structlog.processors.JSONRenderer()


def _take_in_libraries(shared: list[Processor], renderer: Processor) -> None:
    """Let what libraries log through the standard module come out the same way, from warnings on."""
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.captureWarnings(True)
