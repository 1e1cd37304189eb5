-- Keep what a policy wants kept, once: a command that is repeated later must not undo what came between.
-- KEYS value marker; ARGV value ttl_ms marker_ttl_ms
if redis.call('SET', KEYS[2], '1', 'NX', 'PX', ARGV[3]) then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) end
return 1
