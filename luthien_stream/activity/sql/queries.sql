-- name: lock_migrations
SELECT pg_advisory_xact_lock(7206513418804921);

-- name: create_migrations
CREATE TABLE IF NOT EXISTS migrations (
    number  int PRIMARY KEY,
    name    text NOT NULL,
    applied timestamptz NOT NULL DEFAULT now()
);

-- name: applied_migrations
SELECT number FROM migrations;

-- name: record_migration
INSERT INTO migrations (number, name) VALUES ($1, $2);

-- name: guard_pieces
-- Writers of bodies side by side, none of them beside a sweep.
SELECT pg_advisory_xact_lock_shared(7206513418804922);

-- name: sweep_alone
SELECT pg_advisory_xact_lock(7206513418804922);

-- name: lock_days
SELECT pg_advisory_xact_lock(7206513418804923);

-- name: days
SELECT day FROM days ORDER BY day;

-- name: make_day
SELECT make_day($1);

-- name: insert_body
INSERT INTO bodies (ref, size, parts, pieces, chains) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING;

-- name: known_links
SELECT ref FROM chains WHERE ref = ANY ($1::bytea[]);

-- name: insert_links
INSERT INTO chains (ref, parent, piece)
SELECT * FROM unnest($1::bytea[], $2::bytea[], $3::bytea[])
ON CONFLICT DO NOTHING;

-- name: insert_pieces
INSERT INTO pieces (ref, data)
SELECT * FROM unnest($1::bytea[], $2::bytea[])
ON CONFLICT DO NOTHING;

-- name: insert_pipelines
INSERT INTO pipelines AS old (stage, written, policies, time)
SELECT DISTINCT ON (stage) * FROM unnest($1::text[], $2::jsonb[], $3::jsonb[], $4::bigint[]) AS new (stage, w, p, t)
ORDER BY stage, t
ON CONFLICT DO NOTHING;

-- name: pipelines
SELECT stage, written, policies FROM pipelines WHERE stage = ANY ($1::text[]);

-- name: label_of
SELECT label FROM labels WHERE call_id = $1;

-- name: body_parts
SELECT ref, parts FROM bodies WHERE ref = ANY ($1::text[]);

-- name: pieces
SELECT ref, data FROM pieces WHERE ref = ANY ($1::bytea[]);

-- name: links
WITH RECURSIVE link AS (
    SELECT ref, parent, piece FROM chains WHERE ref = ANY ($1::bytea[])
    UNION
    SELECT chains.ref, chains.parent, chains.piece FROM chains JOIN link ON chains.ref = link.parent
)
SELECT ref, parent, piece FROM link;

-- name: known_bodies
SELECT ref FROM bodies WHERE ref = ANY ($1::text[]);

-- name: insert_calls
INSERT INTO calls AS old (
    call_id, time, edge, format, path, model, streamed, session, key, client, version, final_by, body_ref, body_size,
    entry, user_name, parent
)
SELECT * FROM unnest(
    $1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::boolean[], $8::text[], $9::text[],
    $10::text[], $11::text[], $12::text[], $13::text[], $14::bigint[], $15::bigint[], $16::text[], $17::text[]
)
ON CONFLICT (call_id) DO UPDATE SET
    time = excluded.time, edge = excluded.edge, format = excluded.format, path = excluded.path,
    model = excluded.model, streamed = excluded.streamed, session = excluded.session, key = excluded.key,
    client = excluded.client, version = excluded.version, final_by = excluded.final_by,
    body_ref = excluded.body_ref, body_size = excluded.body_size, entry = excluded.entry,
    user_name = excluded.user_name, parent = excluded.parent
WHERE excluded.entry < old.entry;

-- name: insert_events
INSERT INTO events AS old (call_id, src, n, key, type, time, entry, payload, raw, digest)
SELECT * FROM unnest(
    $1::text[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::jsonb[],
    $9::bytea[], $10::bytea[]
)
ON CONFLICT (call_id, src, n, key) DO UPDATE SET
    type = excluded.type, time = excluded.time, entry = excluded.entry, payload = excluded.payload,
    raw = excluded.raw, digest = excluded.digest
WHERE excluded.entry < old.entry;

-- name: known_calls
SELECT call_id FROM calls WHERE call_id = ANY ($1::text[]);

-- name: list_calls
SELECT summaries.*, outcomes.input + outcomes.cached + outcomes.cache_write AS tokens_read,
    outcomes.output AS tokens_written, outcomes.cost, outcomes.estimated
FROM summaries LEFT JOIN outcomes ON outcomes.call_id = summaries.call_id
WHERE ($1 = '' OR session = $1) AND model LIKE $2 AND time >= $3
ORDER BY time DESC
LIMIT $4;

-- name: summaries
SELECT summaries.*, outcomes.input + outcomes.cached + outcomes.cache_write AS tokens_read,
    outcomes.output AS tokens_written, outcomes.cost, outcomes.estimated
FROM summaries LEFT JOIN outcomes ON outcomes.call_id = summaries.call_id
WHERE summaries.call_id = ANY ($1::text[]) ORDER BY time DESC;

-- name: summary
SELECT summaries.*, outcomes.input + outcomes.cached + outcomes.cache_write AS tokens_read,
    outcomes.output AS tokens_written, outcomes.cost, outcomes.estimated
FROM summaries LEFT JOIN outcomes ON outcomes.call_id = summaries.call_id
WHERE summaries.call_id = $1;

-- name: calls_like
SELECT call_id FROM calls WHERE call_id >= $1 AND call_id < $1 || '~' ORDER BY call_id LIMIT 10;

-- name: events_of
SELECT src, n, key, entry, raw FROM events WHERE call_id = $1 ORDER BY entry, n;

-- name: runs_of
SELECT src, first_n, times, entries, kinds, ends, origins, frames FROM runs WHERE call_id = $1;

-- name: left_open
-- Calls of an edge without a final end that no stage will end: relayed from the start, or released by the last stage.
SELECT calls.call_id
FROM calls
JOIN events AS asked
    ON asked.call_id = calls.call_id AND asked.src = 'edge:' || calls.edge AND asked.type = 'request.received'
WHERE calls.edge = $1 AND calls.time >= $2 AND calls.final_by = 'edge'
AND NOT EXISTS (
    SELECT FROM events WHERE call_id = calls.call_id AND n >= 0 AND payload ->> 'lane' = 'final'
)
AND (
    asked.payload #> '{slip,hops,0}' IS NULL
    OR EXISTS (
        SELECT FROM events
        WHERE call_id = calls.call_id AND type = 'request.released'
        AND src = 'stage:' || (asked.payload #>> '{slip,hops,-1,stage}')
    )
)
ORDER BY calls.call_id;

-- name: put_labels
INSERT INTO labels (call_id, label, by, note, time)
SELECT id, $2, $3, $4, $5 FROM unnest($1::text[]) AS id
ON CONFLICT (call_id) DO UPDATE SET label = excluded.label, by = excluded.by, note = excluded.note, time = excluded.time;

-- name: drop_labels
DELETE FROM labels WHERE call_id = ANY ($1::text[]) RETURNING call_id;

-- name: labels
SELECT call_id, label, by, note, time FROM labels ORDER BY time DESC, call_id;
