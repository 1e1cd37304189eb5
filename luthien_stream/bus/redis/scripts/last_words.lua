-- The last act of a process that is about to die: name the suspect, free the lease, count as crashed.
-- KEYS lease state; ARGV owner suspect
if redis.call('HGET', KEYS[2], 'owner') ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HDEL', KEYS[2], 'owner', 'who')
redis.call('HSET', KEYS[2], 'suspect', ARGV[2])
return 1
