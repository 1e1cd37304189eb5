-- Copy an open call's events to its own list and move its `first` on.
-- KEYS state open spill; ARGV owner call first ttl_ms (entry pack)...
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
local value = redis.call('HGET', KEYS[2], ARGV[2])
if not value then return 1 end
for i = 5, #ARGV, 2 do redis.call('RPUSH', KEYS[3], ARGV[i], ARGV[i + 1]) end
redis.call('PEXPIRE', KEYS[3], ARGV[4])
local first = larger(string.match(value, '^[^|]*'), ARGV[3])
redis.call('HSET', KEYS[2], ARGV[2], first .. string.match(value, '|.*'))
return 1
