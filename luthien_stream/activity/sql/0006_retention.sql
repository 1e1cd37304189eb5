-- Take the partitions of a day away.
CREATE FUNCTION drop_day(day date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE name text;
BEGIN
    FOR name IN SELECT day_tables.name FROM day_tables ORDER BY 1 LOOP
        EXECUTE format('DROP TABLE IF EXISTS %I', name || '_' || to_char(day, 'YYYYMMDD'));
    END LOOP;
END
$$;
CREATE INDEX chains_piece ON chains (piece);
