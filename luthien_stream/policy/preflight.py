"""Calls that clients make beside the conversation: probes of a quota or a connection, titles for a session.

They share the session of the real calls, so that a count kept over a session must leave them out. They are told by
their structure; only a title without a schema (opencode's) is told by a word, and only in a request without tools and
history. Whoever makes such a request gains nothing: gates run over it as over any other.
"""

from __future__ import annotations

from typing import Any

from luthien_stream.core.lens import Request

TITLE_FIELDS = frozenset({"branch", "isNewTopic", "title", "topic"})
SMALL = 256
"""Tokens that a title may have; real turns of agents are asked for thousands."""
SCHEMAS = (
    ("output_config", "format", "schema"),
    ("response_format", "json_schema", "schema"),
    ("text", "format", "schema"),
)
"""Where the formats have the JSON schema of the answer."""
BEGINNING = 200
"""Characters of a system text in which a prompt for titles says so."""


def is_preflight(request: Request) -> bool:
    """True for a request that is no turn of the conversation."""
    limit = request.max_tokens
    if limit is not None and limit <= 1:
        return True
    if request.tools or any(part.role == "assistant" for part in request.parts()):
        return False
    fields = _fields(_schema(request))
    if fields and (fields <= TITLE_FIELDS or (limit is not None and limit <= SMALL)):
        return True
    return any("title" in part.text[:BEGINNING].lower() for part in request.parts() if part.role == "system")


def _schema(request: Request) -> Any:
    """The JSON schema that the answer shall have, None if it may have any form."""
    for path in SCHEMAS:
        found: Any = request.get(path[0])
        for step in path[1:]:
            found = found.get(step) if isinstance(found, dict) else None
        if found is not None:
            return found
    return None


def _fields(schema: Any) -> frozenset[str]:
    found = schema.get("properties") if isinstance(schema, dict) else None
    return frozenset(found) if isinstance(found, dict) else frozenset()
