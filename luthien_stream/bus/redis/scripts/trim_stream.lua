-- Trim a stream that is no partition.
-- KEYS stream; ARGV before max_age_ms group
return redis.call('XTRIM', KEYS[1], 'MINID', '=', trim_point(KEYS[1], ARGV[3], ARGV[1], ARGV[2]))
