-- Chunks of the source `provider:...` are what a provider of another format than the client's said itself: they lie
-- beside the original lane, which is in the client's format, and do not count as received.

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
    coalesce(judged.verdicts, '{}') AS verdicts
FROM calls
LEFT JOIN LATERAL (
    SELECT payload ->> 'provider' AS provider, (payload ->> 'status')::int AS status
    FROM events WHERE call_id = calls.call_id AND type = 'response.started' ORDER BY entry LIMIT 1
) AS started ON true
LEFT JOIN LATERAL (
    SELECT type, time, payload ->> 'error' AS error, payload -> 'usage' AS usage
    FROM events WHERE call_id = calls.call_id AND n >= 0 AND payload ->> 'lane' = 'original' ORDER BY entry LIMIT 1
) AS original ON true
LEFT JOIN LATERAL (
    SELECT type, time, payload ->> 'error' AS error, payload -> 'usage' AS usage
    FROM events WHERE call_id = calls.call_id AND n >= 0 AND payload ->> 'lane' = 'final' ORDER BY entry LIMIT 1
) AS final ON true
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
    WHERE call_id = calls.call_id AND origins IS NOT NULL
) AS released ON true
LEFT JOIN LATERAL (
    SELECT array_agg(policy || ':' || coalesce(kind, 'failed') ORDER BY entry, n) AS verdicts
    FROM (
        SELECT payload ->> 'policy' AS policy, payload ->> 'kind' AS kind, entry, n
        FROM events
        WHERE call_id = calls.call_id AND type IN ('verdict.reached', 'policy.failed')
    ) AS each
) AS judged ON true;
