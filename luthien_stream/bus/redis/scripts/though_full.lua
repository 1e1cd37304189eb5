-- One small command that a full server executes too: workers and edges must be able to come back and drain it.
-- KEYS key; ARGV command
return redis.pcall(unpack(ARGV))
