-- name: events_of_many
SELECT call_id, src, n, entry, raw FROM events
WHERE call_id = ANY ($1::text[]) AND call_id BETWEEN $2 AND $3 ORDER BY entry, n;

-- name: runs_of_many
SELECT call_id, src, first_n, times, entries, kinds, ends, origins, frames FROM runs
WHERE call_id = ANY ($1::text[]) AND call_id BETWEEN $2 AND $3;

-- name: labels_of_many
SELECT call_id, label FROM labels WHERE call_id = ANY ($1::text[]);
