-- The record of calls. Times are microseconds since 1970, UTC; an entry is the id of a stream entry as one number,
-- milliseconds * 2^20 + sequence, so that of two copies the one with the lower entry is the true one.

-- Request bodies, once under their SHA-256: an agent sends its whole history again each turn.
CREATE TABLE bodies (
    ref  text  COLLATE "C" PRIMARY KEY,
    body bytea NOT NULL
);

-- One row a call: what the client asked.
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
    entry     bigint  NOT NULL
);
CREATE INDEX calls_time ON calls (time);
CREATE INDEX calls_session ON calls (session, time) WHERE session <> '';

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
);

-- The chunks of both lanes. A row is a run: consecutive ordinals of one call and source that came in one batch, one
-- array element each. A frame that was released as it was received is not stored again: `origins` names its ordinal
-- in the original lane. A batch that is stored twice, after a crash, makes runs that overlap; who reads takes the
-- lowest entry of each ordinal, as the view `chunks` does.
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
) WITH (toast_tuple_target = 8160);  -- compress the frames, which shrink to a tenth, and leave the arrays alone
CREATE INDEX runs_call ON runs (call_id, src, first_n);

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

-- What policies decided, and where they failed.
CREATE VIEW verdicts AS
SELECT
    call_id, src, n, time, type, payload ->> 'policy' AS policy, payload ->> 'kind' AS kind,
    coalesce(payload ->> 'phase', 'response') AS phase, payload ->> 'reason' AS reason,
    (payload ->> 'score')::float8 AS score, payload ->> 'error' AS error
FROM events
WHERE type IN ('verdict.reached', 'policy.failed', 'policy.bypassed');

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
    WHERE call_id = calls.call_id AND origins IS NULL
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
