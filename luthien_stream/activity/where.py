"""A filter as a condition of SQL over `calls`: values are parameters, never text of the statement."""

from __future__ import annotations

import re
from typing import Any

from luthien_stream.record.filter import All, Any_, Filter, Not, Term

_COLUMNS = {
    "model": "calls.model",
    "session": "calls.session",
    "user": "calls.user_name",
    "key": "calls.key",
    "client": "calls.client",
    "format": "calls.format",
}
_DECIDED = """
    SELECT FROM events WHERE events.call_id = calls.call_id AND events.type IN ('verdict.reached', 'policy.failed')
"""
_FINAL = """(
    SELECT {what} FROM events WHERE events.call_id = calls.call_id AND events.n >= 0
    AND events.payload ->> 'lane' = 'final'
    AND (events.src NOT LIKE 'stage:%' OR events.src = (SELECT src FROM speakers WHERE call_id = calls.call_id))
    ORDER BY events.entry LIMIT 1
)"""
_OUTCOME, _ERROR = (_FINAL.format(what=what) for what in ("substr(events.type, 10)", "events.payload ->> 'error'"))
_OTHERS = {
    "policy": f"EXISTS ({_DECIDED} AND events.payload ->> 'policy' LIKE {{at}})",
    "verdict": f"EXISTS ({_DECIDED} AND coalesce(events.payload ->> 'kind', 'failed') LIKE {{at}})",
    "outcome": f"coalesce({_OUTCOME}, 'open') LIKE {{at}}",
    "error": f"coalesce({_ERROR}, '') LIKE {{at}}",
    "label": "coalesce((SELECT label FROM labels WHERE labels.call_id = calls.call_id), '') LIKE {at}",
    "said": "EXISTS (SELECT FROM said WHERE said.call_id = calls.call_id AND said.text ILIKE {at})",
    "type": "EXISTS (SELECT FROM events WHERE events.call_id = calls.call_id AND events.type LIKE {at})",
}


def where(filter: Filter, first: int = 1) -> tuple[str, list[Any]]:
    """Return a condition and its parameters, which are numbered from `first` on."""
    args: list[Any] = []

    def written(one: Filter) -> str:
        match one:
            case Term():
                args.append(_pattern(one))
                at = f"${first + len(args) - 1}"
                if one.field == "call":
                    return f"calls.call_id LIKE {at}"
                if one.field in _COLUMNS:
                    return f"{_COLUMNS[one.field]} LIKE {at}"
                return _OTHERS[one.field].format(at=at)
            case Not():
                return f"NOT ({written(one.inner)})"
            case All():
                return " AND ".join(f"({written(each)})" for each in one.inner) or "true"
            case Any_():
                return " OR ".join(f"({written(each)})" for each in one.inner)

    return written(filter), args


def _pattern(term: Term) -> str:
    escaped = re.sub(r"([%_\\])", r"\\\1", term.pattern)
    if term.field == "call":
        return escaped + "%"
    if term.field == "said":
        return f"%{escaped}%"
    return escaped.replace("*", "%").replace("?", "_")
