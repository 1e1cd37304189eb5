-- name: calls_to_forget
-- The calls of a session, of a user, or one; those that policies made for them, and for those again.
WITH RECURSIVE chosen AS (
    SELECT call_id FROM calls
    WHERE ($1 <> '' AND session = $1) OR ($2 <> '' AND user_name = $2) OR ($3 <> '' AND call_id = $3)
    UNION
    SELECT calls.call_id FROM calls JOIN chosen ON calls.parent = chosen.call_id
)
SELECT call_id FROM chosen;

-- name: about_calls
SELECT
    count(*) AS calls, count(*) FILTER (WHERE parent <> '') AS children,
    count(DISTINCT session) FILTER (WHERE session <> '') AS sessions,
    count(DISTINCT user_name) FILTER (WHERE user_name <> '') AS users, min(time) AS first_time, max(time) AS last_time
FROM calls WHERE call_id = ANY ($1::text[]);

-- name: forget_calls
DELETE FROM calls WHERE call_id = ANY ($1::text[]);

-- name: forget_events
DELETE FROM events WHERE call_id = ANY ($1::text[]);

-- name: forget_runs
DELETE FROM runs WHERE call_id = ANY ($1::text[]);

-- name: forget_seals
DELETE FROM seals WHERE call_id = ANY ($1::text[]);

-- name: forget_labels
DELETE FROM labels WHERE call_id = ANY ($1::text[]);

-- name: drop_day
SELECT drop_day($1);

-- name: sweep_labels
DELETE FROM labels WHERE NOT EXISTS (SELECT FROM calls WHERE calls.call_id = labels.call_id);

-- name: sweep_bodies
DELETE FROM bodies WHERE NOT EXISTS (
    SELECT FROM events WHERE events.payload ->> 'body_ref' IS NOT NULL AND events.payload ->> 'body_ref' = bodies.ref
);

-- name: sweep_chains
WITH RECURSIVE live AS (
    SELECT unnest(chains) AS ref FROM bodies
    UNION
    SELECT chains.parent FROM chains JOIN live ON chains.ref = live.ref WHERE chains.parent IS NOT NULL
)
DELETE FROM chains WHERE NOT EXISTS (SELECT FROM live WHERE live.ref = chains.ref);

-- name: sweep_pieces
DELETE FROM pieces
WHERE NOT EXISTS (SELECT FROM chains WHERE chains.piece = pieces.ref)
AND NOT EXISTS (SELECT FROM (SELECT unnest(bodies.pieces) AS ref FROM bodies) AS named WHERE named.ref = pieces.ref);
