-- A call may pass several stages. Each of them writes a lane, and says again what the ones before it said: what counts
-- is the lane of the last one, which the edge listens to. What the stage `shadow` says stands beside it.

-- The stage that a call's edge listens to; no row for calls that pass none.
CREATE VIEW speakers AS
SELECT events.call_id, 'stage:' || (events.payload #>> '{slip,hops,-1,stage}') AS src
FROM calls
JOIN events ON events.call_id = calls.call_id AND events.src = 'edge:' || calls.edge
WHERE events.type = 'request.received' AND events.payload #> '{slip,hops,0}' IS NOT NULL;

-- What policies decided, and where they failed; `beside`: nothing was done about it.
CREATE OR REPLACE VIEW verdicts AS
SELECT
    call_id, src, n, time, type, payload ->> 'policy' AS policy, payload ->> 'kind' AS kind,
    coalesce(payload ->> 'phase', 'response') AS phase, payload ->> 'reason' AS reason,
    (payload ->> 'score')::float8 AS score, payload ->> 'error' AS error,
    src LIKE 'stage:shadow@%' AS beside, entry
FROM events
WHERE type IN ('verdict.reached', 'policy.failed', 'policy.bypassed')
AND (
    src NOT LIKE 'stage:%' OR src LIKE 'stage:shadow@%'
    OR src = (SELECT src FROM speakers WHERE speakers.call_id = events.call_id)
);

-- One row a call, with its outcome, its usage and its timings.
CREATE OR REPLACE VIEW summaries AS
SELECT
    calls.*,
    to_timestamp(calls.time / 1e6) AS at,
    started.provider,
    coalesce(started.status, 0) AS status,
    original.type AS original_end,
    final.type AS final_end,
    coalesce(final.error, original.error, '') AS error,
    coalesce(final.usage, original.usage) AS usage,
    delivered.how AS delivered,
    delivered.bytes AS delivered_bytes,
    coalesce(delivered.time, final.time, original.time) - calls.time AS duration,
    received.first - calls.time AS first_received,
    coalesce(released.first, received.first) - calls.time AS first_released,
    coalesce(received.chunks, 0) AS chunks_received,
    coalesce(released.chunks, 0) AS chunks_released,
    coalesce(judged.verdicts, '{}') AS verdicts,
    coalesce(final.policies, '[]') || coalesce(watched.policies, '[]') AS policies
FROM calls
LEFT JOIN speakers ON speakers.call_id = calls.call_id
LEFT JOIN LATERAL (
    SELECT payload ->> 'provider' AS provider, (payload ->> 'status')::int AS status
    FROM events WHERE call_id = calls.call_id AND type = 'response.started' ORDER BY entry LIMIT 1
) AS started ON true
LEFT JOIN LATERAL (
    SELECT type, time, payload ->> 'error' AS error, payload -> 'usage' AS usage
    FROM events WHERE call_id = calls.call_id AND n >= 0 AND payload ->> 'lane' = 'original' ORDER BY entry LIMIT 1
) AS original ON true
LEFT JOIN LATERAL (
    SELECT type, time, payload ->> 'error' AS error, payload -> 'usage' AS usage, payload -> 'policies' AS policies
    FROM events
    WHERE call_id = calls.call_id AND n >= 0 AND payload ->> 'lane' = 'final'
    AND (src NOT LIKE 'stage:%' OR src = speakers.src)
    ORDER BY entry LIMIT 1
) AS final ON true
LEFT JOIN LATERAL (
    SELECT payload -> 'policies' AS policies
    FROM events
    WHERE call_id = calls.call_id AND n >= 0 AND payload ->> 'lane' = 'final' AND src LIKE 'stage:shadow@%'
    ORDER BY entry LIMIT 1
) AS watched ON true
LEFT JOIN LATERAL (
    SELECT time, coalesce(payload ->> 'left', 'complete') AS how, (payload ->> 'bytes')::bigint AS bytes
    FROM events WHERE call_id = calls.call_id AND type = 'response.delivered' ORDER BY entry LIMIT 1
) AS delivered ON true
LEFT JOIN LATERAL (
    SELECT count(DISTINCT (src, n)) AS chunks, min(times[1]) AS first
    FROM runs, generate_series(first_n, first_n + length(kinds) - 1) AS n
    WHERE call_id = calls.call_id AND origins IS NULL AND src LIKE 'edge:%'
) AS received ON true
LEFT JOIN LATERAL (
    SELECT count(DISTINCT (src, n)) AS chunks, min(times[1]) AS first
    FROM runs, generate_series(first_n, first_n + length(kinds) - 1) AS n
    WHERE call_id = calls.call_id AND origins IS NOT NULL AND src = speakers.src
) AS released ON true
LEFT JOIN LATERAL (
    SELECT
        array_agg(
            policy || ':' || coalesce(kind, 'failed') || CASE WHEN src LIKE 'stage:shadow@%' THEN ':shadow' ELSE '' END
            ORDER BY entry, n
        ) AS verdicts
    FROM (
        SELECT payload ->> 'policy' AS policy, payload ->> 'kind' AS kind, src, entry, n
        FROM events
        WHERE call_id = calls.call_id AND type IN ('verdict.reached', 'policy.failed')
        AND (src NOT LIKE 'stage:%' OR src LIKE 'stage:shadow@%' OR src = speakers.src)
    ) AS each
) AS judged ON true;
