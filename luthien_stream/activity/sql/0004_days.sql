-- Calls, events and runs by the day of their call, so that a day can be dropped whole. A call id is a UUIDv7: its first
-- twelve digits are milliseconds, so a day is a range of ids, and a query that names a call looks at one day. Other ids
-- (an event of no call, tests) lie in the partition `..._other`.
DROP VIEW summaries, verdicts, speakers, chunks;
DROP INDEX calls_time, calls_session, runs_call;
ALTER TABLE calls RENAME TO old_calls;
ALTER TABLE old_calls RENAME CONSTRAINT calls_pkey TO old_calls_pkey;
ALTER TABLE events RENAME TO old_events;
ALTER TABLE old_events RENAME CONSTRAINT events_pkey TO old_events_pkey;
ALTER TABLE runs RENAME TO old_runs;
ALTER TABLE bodies RENAME TO old_bodies;
ALTER TABLE old_bodies RENAME CONSTRAINT bodies_pkey TO old_bodies_pkey;

CREATE TABLE calls (
    call_id   text    COLLATE "C" PRIMARY KEY,
    time      bigint  NOT NULL,
    edge      text    NOT NULL,
    format    text    NOT NULL,
    path      text    NOT NULL,
    model     text    NOT NULL,
    streamed  boolean NOT NULL,
    session   text    NOT NULL,
    key       text    NOT NULL,
    client    text    NOT NULL,
    version   text    NOT NULL,  -- of the pipeline, empty if the call had none
    final_by  text    NOT NULL,  -- who writes the final lane
    body_ref  text    NOT NULL,
    body_size bigint  NOT NULL,
    entry     bigint  NOT NULL,
    user_name text    NOT NULL,  -- whom the request says it is for
    parent    text    COLLATE "C" NOT NULL  -- the call whose policy asked for this one; empty for a client's own
) PARTITION BY RANGE (call_id);
CREATE TABLE calls_other PARTITION OF calls DEFAULT;
CREATE INDEX calls_time ON calls (time);
CREATE INDEX calls_session ON calls (session, time) WHERE session <> '';
CREATE INDEX calls_user ON calls (user_name, time) WHERE user_name <> '';
CREATE INDEX calls_parent ON calls (parent) WHERE parent <> '';

-- Every event but the chunks. `n` is -1 where an event carries none; `key` then tells it from others.
CREATE TABLE events (
    call_id text   COLLATE "C" NOT NULL,
    src     text   COLLATE "C" NOT NULL,
    n       bigint NOT NULL,
    key     text   COLLATE "C" NOT NULL,
    type    text   NOT NULL,
    time    bigint NOT NULL,
    entry   bigint NOT NULL,
    payload jsonb  NOT NULL,  -- for queries: bytes in base64, NUL characters replaced
    raw     bytea  NOT NULL,  -- the same event in MessagePack, exact
    PRIMARY KEY (call_id, src, n, key)
) PARTITION BY RANGE (call_id);
CREATE TABLE events_other PARTITION OF events DEFAULT;
CREATE INDEX events_body ON events ((payload ->> 'body_ref')) WHERE payload ->> 'body_ref' IS NOT NULL;

-- The chunks of both lanes: see 0001.
CREATE TABLE runs (
    call_id text     COLLATE "C" NOT NULL,
    src     text     COLLATE "C" NOT NULL,
    first_n bigint   NOT NULL,
    times   bigint[] NOT NULL,
    entries bigint[] NOT NULL,
    kinds   text     NOT NULL,  -- one letter each: f frame, r rest, b body
    ends    int[]    NOT NULL,  -- where each frame ends in `frames`
    origins bigint[],           -- NULL in the original lane; -1 for a frame that is no received one
    frames  bytea    NOT NULL
) PARTITION BY RANGE (call_id);
CREATE TABLE runs_other PARTITION OF runs DEFAULT WITH (toast_tuple_target = 8160);
CREATE INDEX runs_call ON runs (call_id, src, first_n);

-- The first id of a day (UTC).
CREATE FUNCTION first_id(day date) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT substr(hex, 1, 8) || '-' || substr(hex, 9)
    FROM (SELECT lpad(to_hex((extract(epoch FROM day) * 1000)::bigint), 12, '0') AS hex) AS made
$$;

-- The day of an id (UTC), NULL for one that is no UUIDv7.
CREATE FUNCTION day_of(call_id text) RETURNS date LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN call_id ~ '^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-' THEN
        (to_timestamp(('x' || lpad(substr(call_id, 1, 8) || substr(call_id, 10, 4), 16, '0'))::bit(64)::bigint / 1000.0)
            AT TIME ZONE 'UTC')::date
    END
$$;

-- The tables that are kept by days.
CREATE VIEW day_tables AS
SELECT relname::text AS name FROM pg_partitioned_table JOIN pg_class ON pg_class.oid = partrelid
WHERE relnamespace = current_schema()::regnamespace;

-- Make the partitions of a day where they are missing.
CREATE FUNCTION make_day(day date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE name text;
BEGIN
    FOR name IN SELECT day_tables.name FROM day_tables ORDER BY 1 LOOP
        IF to_regclass(name || '_' || to_char(day, 'YYYYMMDD')) IS NULL THEN
            EXECUTE format(
                'CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L) %s',
                name || '_' || to_char(day, 'YYYYMMDD'), name, first_id(day), first_id(day + 1),
                CASE WHEN name = 'runs' THEN 'WITH (toast_tuple_target = 8160)' ELSE '' END
            );  -- runs: compress the frames, which shrink to a tenth, and leave the arrays alone
        END IF;
    END LOOP;
END
$$;

-- Days that are kept.
CREATE VIEW days AS
SELECT to_date(right(relname, 8), 'YYYYMMDD') AS day
FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent = 'calls'::regclass AND relname <> 'calls_other';

SELECT make_day(day) FROM (
    SELECT day_of(call_id) AS day FROM old_calls UNION SELECT day_of(call_id) FROM old_events
    UNION SELECT day_of(call_id) FROM old_runs
) AS found WHERE day IS NOT NULL;
INSERT INTO calls
SELECT
    old_calls.*,
    coalesce(asked.payload ->> 'user', ''),
    coalesce(asked.payload ->> 'cause', '')
FROM old_calls
LEFT JOIN LATERAL (
    SELECT payload FROM old_events
    WHERE call_id = old_calls.call_id AND type = 'request.received' AND src LIKE 'edge:%' ORDER BY entry LIMIT 1
) AS asked ON true;
INSERT INTO events SELECT * FROM old_events;
INSERT INTO runs SELECT * FROM old_runs;
DROP TABLE old_calls, old_events, old_runs;

-- Requests by their pieces, each stored once. A body is a few literal bytes, pieces, and chains: the elements of a list
-- (messages, tools) each behind those before it, so that a history that only grows costs what is new.
CREATE TABLE pieces (
    ref  bytea PRIMARY KEY,  -- the first 16 bytes of the SHA-256 of `data`
    data bytea NOT NULL
);
CREATE TABLE chains (
    ref    bytea PRIMARY KEY,  -- the first 16 bytes of the SHA-256 of `parent` and `piece`
    parent bytea,              -- the element before, NULL for the first
    piece  bytea NOT NULL
);
CREATE TABLE bodies (
    ref    text    COLLATE "C" PRIMARY KEY,  -- SHA-256 of the whole, in hex
    size   bigint  NOT NULL,
    parts  bytea   NOT NULL,  -- MessagePack: see record/pieces.py
    pieces bytea[] NOT NULL,  -- what `parts` names
    chains bytea[] NOT NULL
);
-- Bodies of before are one piece each.
INSERT INTO pieces SELECT substr(sha256(body), 1, 16), body FROM old_bodies ON CONFLICT DO NOTHING;
INSERT INTO bodies
SELECT ref, length(body), '\x9192c410'::bytea || substr(sha256(body), 1, 16) || '\xc0'::bytea,
    ARRAY[substr(sha256(body), 1, 16)], '{}'
FROM old_bodies;
DROP TABLE old_bodies;

-- The pipelines that have been in force, by the key of a stage, as they were written: never dropped, they are few.
CREATE TABLE pipelines (
    stage    text   COLLATE "C" PRIMARY KEY,
    written  jsonb  NOT NULL,
    policies jsonb  NOT NULL,  -- name and version of the stage's own, in order
    time     bigint NOT NULL   -- when it was first seen in force
);

-- What people said of calls.
CREATE TABLE labels (
    call_id text   COLLATE "C" PRIMARY KEY,
    label   text   NOT NULL CHECK (label IN ('attack', 'benign')),
    by      text   NOT NULL,
    note    text   NOT NULL,
    time    bigint NOT NULL
);

-- Chunks one by one, each once. `frame` is NULL where `origin` names the received chunk that has the bytes.
CREATE VIEW chunks AS
SELECT DISTINCT ON (call_id, src, n) call_id, src, n, kind, time, entry, origin, frame
FROM (
    SELECT
        call_id, src, first_n + i - 1 AS n, substr(kinds, i::int, 1) AS kind, time, entry, origins[i] AS origin,
        CASE WHEN coalesce(origins[i], -1) < 0
            THEN substr(frames, coalesce(ends[i - 1], 0) + 1, ends[i] - coalesce(ends[i - 1], 0))
        END AS frame
    FROM runs, unnest(times, entries) WITH ORDINALITY AS one (time, entry, i)
) AS single
ORDER BY call_id, src, n, entry;

-- The stage that a call's edge listens to; no row for calls that pass none.
CREATE VIEW speakers AS
SELECT events.call_id, 'stage:' || (events.payload #>> '{slip,hops,-1,stage}') AS src
FROM calls
JOIN events ON events.call_id = calls.call_id AND events.src = 'edge:' || calls.edge
WHERE events.type = 'request.received' AND events.payload #> '{slip,hops,0}' IS NOT NULL;

-- What policies decided, and where they failed, with the policy's version and how long it kept something of the call at
-- most (microseconds, NULL while the call runs); `beside`: nothing was done about it.
CREATE VIEW verdicts AS
SELECT
    call_id, src, n, time, type, payload ->> 'policy' AS policy, payload ->> 'kind' AS kind,
    coalesce(payload ->> 'phase', 'response') AS phase, payload ->> 'reason' AS reason,
    payload ->> 'shown' AS shown, payload ->> 'about' AS about,
    (payload ->> 'score')::float8 AS score, payload ->> 'error' AS error,
    src LIKE 'stage:shadow@%' AS beside, entry,
    coalesce(payload ->> 'version', ran.version) AS version, ran.held_us
FROM events
LEFT JOIN LATERAL (
    SELECT one ->> 'version' AS version, coalesce((one ->> 'held_us')::bigint, 0) AS held_us
    FROM events AS ended, jsonb_array_elements(coalesce(ended.payload -> 'policies', '[]')) AS one
    WHERE ended.call_id = events.call_id AND ended.src = events.src AND ended.payload ->> 'lane' = 'final'
    AND one ->> 'name' = events.payload ->> 'policy'
    LIMIT 1
) AS ran ON true
WHERE type IN ('verdict.reached', 'policy.failed', 'policy.bypassed')
AND (
    src NOT LIKE 'stage:%' OR src LIKE 'stage:shadow@%'
    OR src = (SELECT src FROM speakers WHERE speakers.call_id = events.call_id)
);

-- What came from outside the log: what was asked for, and what came back. Of a model's answer the call in `child` has
-- every frame, and `asked` names the body of the question.
CREATE VIEW effects AS
SELECT
    effect.call_id, effect.src, effect.payload ->> 'key' AS key, effect.payload ->> 'kind' AS kind,
    coalesce(effect.payload -> 'asked', held.payload -> 'subject') AS asked, effect.payload -> 'value' AS value,
    effect.time, effect.payload ->> 'of' AS of, NULL::text AS child
FROM events AS effect
LEFT JOIN LATERAL (
    SELECT payload FROM events
    WHERE call_id = effect.call_id AND type = 'call.held' AND payload ->> 'key' = effect.payload ->> 'key' LIMIT 1
) AS held ON true
WHERE effect.type = 'effect.recorded' AND effect.payload ->> 'kind' <> 'sample'
UNION ALL
SELECT
    sample.call_id, sample.src, sample.payload ->> 'key', sample.payload ->> 'why',
    sample.payload - 'body', late.payload -> 'value', sample.time, NULL, drawn.call_id
FROM events AS sample
LEFT JOIN LATERAL (
    SELECT payload FROM events
    WHERE call_id = sample.call_id AND type = 'effect.recorded' AND payload ->> 'key' = sample.payload ->> 'key' LIMIT 1
) AS late ON true
LEFT JOIN LATERAL (
    SELECT events.call_id FROM calls JOIN events USING (call_id)
    WHERE calls.parent = sample.call_id AND events.type = 'request.received'
    AND events.payload ->> 'effect' = sample.payload ->> 'key' LIMIT 1
) AS drawn ON true
WHERE sample.type = 'sample.requested';

-- One row a call, with its outcome, its usage and its timings.
CREATE VIEW summaries AS
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
    coalesce(final.policies, '[]') || coalesce(watched.policies, '[]') AS policies,
    coalesce(labels.label, '') AS label
FROM calls
LEFT JOIN labels ON labels.call_id = calls.call_id
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
