-- Add a delta to a session's fold, and put the state that a call has made of the first `seen` in their place.
-- Put before the scripts that settle. A fold is a hash: `base` deltas are in `state`, the others in `d<base>` and on.
local function fold(key, delta, seen, state, ttl_ms)
  local kept = redis.call('HMGET', key, 'base', 'next')
  local base, last = tonumber(kept[1]) or 0, tonumber(kept[2]) or 0
  redis.call('HSET', key, 'd' .. last, delta, 'next', last + 1)
  if seen > base and seen <= last then
    redis.call('HSET', key, 'base', seen, 'state', state)
    for i = base, seen - 1 do redis.call('HDEL', key, 'd' .. i) end
  end
  redis.call('PEXPIRE', key, ttl_ms)
end
