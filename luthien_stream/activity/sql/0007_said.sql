-- What was said, for full-text search: what users and tools said anew in a request (not the history that is sent again),
-- what the model said, and what was delivered where that differs. Filled a moment after a call has ended.
CREATE TABLE said (
    call_id text COLLATE "C" NOT NULL,
    role    text NOT NULL,  -- user, tool, model, delivered
    part    int  NOT NULL,
    text    text NOT NULL,
    words   tsvector GENERATED ALWAYS AS (to_tsvector('simple', left(text, 500000))) STORED,
    PRIMARY KEY (call_id, role, part)
) PARTITION BY RANGE (call_id);
CREATE TABLE said_other PARTITION OF said DEFAULT;
CREATE INDEX said_words ON said USING gin (words);

-- What a call came to: tokens as its provider counted them, and their price in USD (NULL where no price is known).
CREATE TABLE outcomes (
    call_id     text COLLATE "C" PRIMARY KEY,
    input       bigint NOT NULL,  -- tokens that were read anew
    cached      bigint NOT NULL,  -- read from the provider's cache
    cache_write bigint NOT NULL,
    output      bigint NOT NULL,  -- reasoning too
    reasoning   bigint NOT NULL,
    cost        float8,
    estimated   boolean NOT NULL,  -- the tokens or the price are an estimate
    tool_calls  int    NOT NULL
) PARTITION BY RANGE (call_id);
CREATE TABLE outcomes_other PARTITION OF outcomes DEFAULT;
SELECT make_day(day) FROM days;

-- One row a session of an agent.
CREATE VIEW sessions AS
SELECT
    calls.session, count(*) AS calls, min(calls.time) AS first_time, max(calls.time) AS last_time,
    array_agg(DISTINCT calls.model) AS models, max(calls.user_name) AS user_name, max(calls.client) AS client,
    coalesce(sum(outcomes.input + outcomes.cached + outcomes.cache_write), 0)::bigint AS input,
    coalesce(sum(outcomes.output), 0)::bigint AS output, sum(outcomes.cost) AS cost,
    coalesce(bool_or(outcomes.estimated), false) OR count(outcomes.cost) < count(*) AS estimated
FROM calls LEFT JOIN outcomes ON outcomes.call_id = calls.call_id
WHERE calls.session <> '' GROUP BY calls.session;

-- One row a user.
CREATE VIEW users AS
SELECT
    calls.user_name, count(*) AS calls, count(DISTINCT calls.session) AS sessions, min(calls.time) AS first_time,
    max(calls.time) AS last_time, coalesce(sum(outcomes.output), 0)::bigint AS output, sum(outcomes.cost) AS cost
FROM calls LEFT JOIN outcomes ON outcomes.call_id = calls.call_id
WHERE calls.user_name <> '' GROUP BY calls.user_name;
