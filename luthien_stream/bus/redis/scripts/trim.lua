-- Trim a partition's stream. The point is computed here, so that no settle can come between.
-- KEYS state open stream; ARGV owner max_age_ms group min_age_ms
local state = redis.call('HMGET', KEYS[1], 'owner', 'cursor')
if state[1] ~= ARGV[1] then return 0 end
local point, min_age = state[2] or '0-0', tonumber(ARGV[4])
if min_age > 0 then point = smaller(point, string.format('%.0f-0', math.max(0, now_ms() - min_age))) end
for _, value in ipairs(redis.call('HVALS', KEYS[2])) do
  point = smaller(point, string.match(value, '^[^|]*'))
end
return redis.call('XTRIM', KEYS[3], 'MINID', '=', trim_point(KEYS[3], ARGV[3], point, ARGV[2]))
