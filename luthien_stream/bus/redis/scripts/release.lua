-- Give a partition up in good order: this owner did not crash.
-- KEYS lease state; ARGV owner
if redis.call('HGET', KEYS[2], 'owner') ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HDEL', KEYS[2], 'owner', 'who')
if tonumber(redis.call('HGET', KEYS[2], 'crashes') or 0) > 0 then redis.call('HINCRBY', KEYS[2], 'crashes', -1) end
return 1
