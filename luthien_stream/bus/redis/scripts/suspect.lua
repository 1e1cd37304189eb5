-- Note what the owner is about to run, in case it dies of it.
-- KEYS state; ARGV owner suspect
if redis.call('HGET', KEYS[1], 'owner') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[1], 'suspect', ARGV[2])
return 1
