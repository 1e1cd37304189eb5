-- The newest id ever written.
-- KEYS stream
return last_id(KEYS[1])
