-- Take a value away, once. Who took it gets the same again: a command may be repeated.
-- KEYS value marker; ARGV marker_ttl_ms
local taken = redis.call('GET', KEYS[2])
if taken then return taken end
local value = redis.call('GET', KEYS[1])
if not value then return false end
redis.call('SET', KEYS[2], value, 'PX', ARGV[1])
redis.call('DEL', KEYS[1])
return value
