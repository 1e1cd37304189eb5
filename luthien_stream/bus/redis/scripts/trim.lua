-- Trim a partition's stream. The point is computed here, so that no settle can come between.
-- KEYS state open stream; ARGV owner max_age_ms group
local state = redis.call('HMGET', KEYS[1], 'owner', 'cursor')
if state[1] ~= ARGV[1] then return 0 end
local point = state[2] or '0-0'
for _, value in ipairs(redis.call('HVALS', KEYS[2])) do
  point = smaller(point, string.match(value, '^[^|]*'))
end
return redis.call('XTRIM', KEYS[3], 'MINID', '=', trim_point(KEYS[3], ARGV[3], point, ARGV[2]))
