-- One turn of an owner, whole or not at all: the commands that a full server refuses come first.
-- KEYS stream state open closed destination...
-- ARGV owner turn cursor effects spill_prefix closed_kept_us n_outputs pack... n_open (call value)...
--   n_folds (key delta seen state ttl_ms)... n_closed call...
local state = redis.call('HMGET', KEYS[2], 'owner', 'turn', 'cursor', 'crashes')
if state[1] ~= ARGV[1] then return 'FENCED' end
local turn, mine = tonumber(state[2]), tonumber(ARGV[2])
if mine <= turn then return 'DUP ' .. turn end      -- a repeat, or a late copy
if mine ~= turn + 1 then return 'GAP ' .. turn end  -- the server has forgotten turns

redis.call('HSET', KEYS[2], 'turn', mine, 'cursor', ARGV[3])
if ARGV[4] ~= '' then redis.call('XADD', KEYS[1], '*', 'b', ARGV[4]) end
local i, n = 8, tonumber(ARGV[7])
for k = 1, n do
  redis.call('XADD', KEYS[4 + k], '*', 'b', ARGV[i])
  i = i + 1
end

n = tonumber(ARGV[i])
i = i + 1
for _ = 1, n do
  local call, value = ARGV[i], ARGV[i + 1]
  if not redis.call('ZSCORE', KEYS[4], call) then
    local old = redis.call('HGET', KEYS[3], call)
    if old then  -- a spill may have moved `first` on
      local first = larger(string.match(old, '^[^|]*'), string.match(value, '^[^|]*'))
      value = first .. string.match(value, '|.*')
    end
    redis.call('HSET', KEYS[3], call, value)
  end
  i = i + 2
end

n = tonumber(ARGV[i])
i = i + 1
for _ = 1, n do
  fold(ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2]), ARGV[i + 3], ARGV[i + 4])
  i = i + 5
end

n = tonumber(ARGV[i])
i = i + 1
local moved = (state[3] or '0-0') ~= ARGV[3] or n > 0
if moved and state[4] ~= '0' then redis.call('HSET', KEYS[2], 'crashes', 0) end
if n == 0 then return 'OK' end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
for _ = 1, n do
  redis.call('ZADD', KEYS[4], string.format('%.0f', now), ARGV[i])
  redis.call('HDEL', KEYS[3], ARGV[i])
  redis.call('UNLINK', ARGV[5] .. ARGV[i])
  i = i + 1
end
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', string.format('%.0f', now - tonumber(ARGV[6])))
return 'OK'
