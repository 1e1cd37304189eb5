-- Take the partitions of a day away. Calls that were imported from elsewhere tell of their own time, not of when they came:
-- where a day has some, all others of it are deleted and these stay, until somebody has them forgotten.
CREATE OR REPLACE FUNCTION drop_day(day date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE name text; kept text[];
BEGIN
    SELECT array_agg(call_id) INTO kept FROM calls
    WHERE call_id >= first_id(day) AND call_id < first_id(day + 1) AND edge = 'import';
    FOR name IN SELECT day_tables.name FROM day_tables ORDER BY 1 LOOP
        IF kept IS NULL THEN
            EXECUTE format('DROP TABLE IF EXISTS %I', name || '_' || to_char(day, 'YYYYMMDD'));
        ELSE
            EXECUTE format('DELETE FROM %I WHERE call_id >= $1 AND call_id < $2 AND call_id <> ALL ($3)', name)
            USING first_id(day), first_id(day + 1), kept;
        END IF;
    END LOOP;
END
$$;
