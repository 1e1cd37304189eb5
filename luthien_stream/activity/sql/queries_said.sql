-- name: put_said
INSERT INTO said (call_id, role, part, text)
SELECT * FROM unnest($1::text[], $2::text[], $3::int[], $4::text[])
ON CONFLICT (call_id, role, part) DO UPDATE SET text = excluded.text;

-- name: put_outcomes
INSERT INTO outcomes (call_id, input, cached, cache_write, output, reasoning, cost, estimated, tool_calls)
SELECT * FROM unnest(
    $1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::float8[], $8::boolean[],
    $9::int[]
)
ON CONFLICT (call_id) DO UPDATE SET
    input = excluded.input, cached = excluded.cached, cache_write = excluded.cache_write, output = excluded.output,
    reasoning = excluded.reasoning, cost = excluded.cost, estimated = excluded.estimated,
    tool_calls = excluded.tool_calls;

-- name: unread_calls
-- Calls from an id on that have ended and are not indexed yet, the oldest first: what a call says anew is what those
-- before it did not say.
SELECT call_id FROM seals
WHERE call_id >= $2 AND NOT EXISTS (SELECT FROM outcomes WHERE outcomes.call_id = seals.call_id)
ORDER BY call_id LIMIT $1;

-- name: count_unread
SELECT count(*) AS calls FROM calls WHERE NOT EXISTS (SELECT FROM outcomes WHERE outcomes.call_id = calls.call_id);

-- name: known_texts
-- Which of these texts a session has said before, by their digest.
SELECT DISTINCT md5(said.text) AS digest FROM said JOIN calls USING (call_id)
WHERE calls.session = $1 AND calls.session <> '' AND said.call_id < $2 AND md5(said.text) = ANY ($3::text[]);

-- name: hold_call
-- Whether the call is still there; it stays until the transaction is over.
SELECT call_id FROM calls WHERE call_id = $1 FOR KEY SHARE;

-- name: forget_said
DELETE FROM said WHERE call_id = ANY ($1::text[]);

-- name: forget_outcomes
DELETE FROM outcomes WHERE call_id = ANY ($1::text[]);
