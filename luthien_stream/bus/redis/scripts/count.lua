-- Add to a number that a policy keeps, once, and return what it came to; nothing where another value is kept.
-- The time to live counts from the first addition. KEYS value marker; ARGV amount ttl_ms marker_ttl_ms
local counted = redis.call('GET', KEYS[2])
if counted then return counted end
local new = redis.call('EXISTS', KEYS[1]) == 0
local reply = redis.pcall('INCRBY', KEYS[1], ARGV[1])
if type(reply) ~= 'number' then return false end
if new then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
counted = redis.call('GET', KEYS[1])
redis.call('SET', KEYS[2], counted, 'PX', ARGV[3])
return counted
