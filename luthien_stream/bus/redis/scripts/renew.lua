-- Prolong the owner's lease; one that ran out and that nobody took is taken again. Works on a full server.
-- KEYS lease state; ARGV owner worker lease_ms
if redis.call('HGET', KEYS[2], 'owner') ~= ARGV[1] then return 0 end
if redis.call('GET', KEYS[1]) == ARGV[2] then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
else
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
end
return 1
