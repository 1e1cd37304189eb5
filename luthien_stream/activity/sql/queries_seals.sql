-- name: links_of
SELECT call_id, 'event' AS kind, src, n, key, digest,
    type = 'response.delivered' OR (n >= 0 AND payload ->> 'lane' = 'final') AS ends
FROM events WHERE call_id = ANY ($1::text[])
UNION ALL
SELECT call_id, 'run', src, first_n, '', digest, false FROM runs WHERE call_id = ANY ($1::text[]);

-- name: put_seals
INSERT INTO seals (call_id, head, links, rows, time, filed)
SELECT *, false FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::int[], $5::bigint[])
ON CONFLICT (call_id) DO UPDATE SET
    head = excluded.head, links = excluded.links, rows = excluded.rows, time = excluded.time, filed = false
WHERE seals.head <> excluded.head;

-- name: unfiled_seals
SELECT call_id, head, rows FROM seals WHERE NOT filed ORDER BY call_id LIMIT 1000 FOR UPDATE SKIP LOCKED;

-- name: seals_filed
UPDATE seals SET filed = true WHERE call_id = ANY ($1::text[]);

-- name: unsealed_calls
SELECT call_id FROM calls WHERE time >= $1 AND NOT EXISTS (SELECT FROM seals WHERE seals.call_id = calls.call_id) LIMIT 10000;

-- name: seals_of
SELECT call_id, head, links FROM seals WHERE call_id = ANY ($1::text[]);

-- name: event_rows
SELECT call_id, src, n, key, type, time, entry, payload, raw FROM events WHERE call_id = ANY ($1::text[]);

-- name: run_rows
SELECT call_id, src, first_n, times, entries, kinds, ends, origins, frames FROM runs WHERE call_id = ANY ($1::text[]);

-- name: call_rows
SELECT * FROM calls WHERE call_id = ANY ($1::text[]);
