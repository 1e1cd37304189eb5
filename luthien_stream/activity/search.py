"""Full-text search over what was said, and sessions as a whole."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from luthien_stream.activity.find import Selection, condition
from luthien_stream.activity.store import Store

START, STOP = "\x02", "\x03"
"""Around a hit in an excerpt."""


async def search(
    store: Store, words: str, selection: Selection, *, role: str = "", exact: bool = False, limit: int = 20
) -> Sequence[Mapping[str, Any]]:
    """Return hits, newest first: call_id, time, model, session, role, excerpt.

    Words, "phrases", and -words that must not be there; `exact`: a piece of text, whatever its case.
    """
    text, args = condition(selection, first=3)
    found = "said.text ILIKE $1" if exact else "said.words @@ websearch_to_tsquery('simple', $1)"
    pattern = "%" + re.sub(r"([%_\\])", r"\\\1", words) + "%" if exact else words
    shown = f"'StartSel={START}, StopSel={STOP}, MaxWords=18, MinWords=8, MaxFragments=1'"
    excerpt = (
        "substr(said.text, greatest(1, strpos(lower(said.text), lower($2)) - 40), 120)"
        if exact
        else f"ts_headline('simple', left(said.text, 50000), websearch_to_tsquery('simple', $2), {shown})"
    )
    return await store.select(
        f"SELECT calls.call_id, calls.time, calls.model, calls.session, said.role, {excerpt} AS excerpt "
        f"FROM said JOIN calls USING (call_id) WHERE {found} AND ({text}) "
        f"{'AND said.role = ' + repr(role) if role in ROLES else ''} "
        f"ORDER BY calls.time DESC, said.role, said.part LIMIT {int(limit)}",
        pattern,
        words,
        *args,
    )


ROLES = ("user", "tool", "model", "delivered")


async def unread(store: Store) -> int:
    """How many calls are not indexed yet."""
    return int((await store.fetch("count_unread"))[0]["calls"])


async def list_sessions(
    store: Store, *, since: int = 0, user: str = "", limit: int = 30
) -> Sequence[Mapping[str, Any]]:
    """Return sessions, the latest first; `since` in microseconds."""
    return await store.select(f"{_SESSIONS} LIMIT {int(limit)}", since, user)


_SESSIONS = """
SELECT sessions.*, (
    SELECT coalesce(jsonb_object_agg(kind, count), '{}') FROM (
        SELECT coalesce(events.payload ->> 'kind', 'failed') AS kind, count(*) AS count
        FROM calls JOIN events USING (call_id) LEFT JOIN speakers USING (call_id)
        WHERE calls.session = sessions.session AND events.type IN ('verdict.reached', 'policy.failed')
        AND (events.src NOT LIKE 'stage:%' OR events.src = speakers.src)
        GROUP BY 1
    ) AS each
) AS verdicts
FROM sessions WHERE last_time >= $1 AND ($2 = '' OR user_name = $2) ORDER BY last_time DESC
"""


async def calls_in(store: Store, session: str) -> Sequence[Mapping[str, Any]]:
    """Return the calls of a session in order, each followed by those that policies made for it."""
    return await store.select(
        "SELECT summaries.call_id, summaries.time, summaries.model, summaries.parent, summaries.final_end, "
        "summaries.status, summaries.verdicts, summaries.label, outcomes.input + outcomes.cached + "
        "outcomes.cache_write AS input, outcomes.output, outcomes.cost, outcomes.estimated "
        "FROM summaries LEFT JOIN outcomes ON outcomes.call_id = summaries.call_id "
        "WHERE (summaries.session = $1 AND summaries.parent = '') "
        "OR summaries.parent IN (SELECT call_id FROM calls WHERE session = $1) "
        "ORDER BY coalesce(nullif(summaries.parent, ''), summaries.call_id), summaries.time LIMIT 2000",
        session,
    )
