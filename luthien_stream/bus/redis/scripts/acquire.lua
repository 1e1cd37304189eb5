-- Take a partition whose lease is free.
-- KEYS lease state open closed stream; ARGV worker random lease_ms spill_prefix
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return false end

-- Quiet time: a server that was restarted may have forgotten a lease that its owner still counts on.
local info = redis.pcall('INFO', 'server')
local run_id, uptime = '', nil
if type(info) == 'string' then
  run_id = string.match(info, 'run_id:(%w+)') or ''
  uptime = tonumber(string.match(info, 'uptime_in_seconds:(%d+)'))
end
local who = redis.call('HGET', KEYS[2], 'who')
local young = uptime and uptime * 1000 < tonumber(ARGV[3]) + 1000
if young and who and who ~= ARGV[1] then return false end

local owner = redis.call('HINCRBY', KEYS[2], 'tok', 1) .. ':' .. ARGV[2]
local crashes = redis.call('HINCRBY', KEYS[2], 'crashes', 1) - 1
redis.call('HSET', KEYS[2], 'owner', owner, 'who', ARGV[1], 'turn', 0)
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])

local open = redis.call('HGETALL', KEYS[3])
local spills = {}
for i = 1, #open, 2 do
  local kept = redis.call('LRANGE', ARGV[4] .. open[i], 0, -1)
  if #kept > 0 then spills[#spills + 1] = {open[i], kept} end
end
local more = redis.call('HMGET', KEYS[2], 'cursor', 'suspect')
local closed = redis.call('ZRANGE', KEYS[4], 0, -1, 'WITHSCORES')
return {owner, more[1] or '0-0', last_id(KEYS[5]), open, closed, spills, crashes, more[2] or '', run_id}
