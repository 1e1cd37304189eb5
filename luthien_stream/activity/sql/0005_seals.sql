-- Proof that the record is what the log said. A row's digest is made when it is folded from the log, before it is stored
-- (NULL in rows of earlier releases). Once a call has ended, the digests of all its rows are chained to one head, which
-- is written to a daily file too.
ALTER TABLE events ADD COLUMN digest bytea;
ALTER TABLE runs ADD COLUMN digest bytea;

CREATE TABLE seals (
    call_id text COLLATE "C" PRIMARY KEY,
    head    bytea   NOT NULL,  -- SHA-256 over `links`, one after the other
    links   bytea   NOT NULL,  -- MessagePack: kind, source, ordinal, key and digest of each row, in order
    rows    int     NOT NULL,
    time    bigint  NOT NULL,
    filed   boolean NOT NULL   -- the head stands in the daily file
) PARTITION BY RANGE (call_id);
CREATE TABLE seals_other PARTITION OF seals DEFAULT;
CREATE INDEX seals_unfiled ON seals (call_id) WHERE NOT filed;
SELECT make_day(day) FROM days;
