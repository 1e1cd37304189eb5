-- Delete a partition that nobody owns, has no open call, and has nothing unconfirmed or freshly unread.
-- KEYS lease state open closed stream; ARGV group unread_ms
if redis.call('EXISTS', KEYS[1]) == 1 or redis.call('HLEN', KEYS[3]) > 0 then return 0 end
local last = last_id(KEYS[5])
local delivered, pending = group_state(KEYS[5], ARGV[1])
if delivered and (pending > 0 or before(delivered, last)) then return 0 end
local cursor = redis.call('HGET', KEYS[2], 'cursor') or '0-0'
if before(cursor, last) and parts(last) > now_ms() - tonumber(ARGV[2]) then return 0 end
redis.call('UNLINK', unpack(KEYS))
return 1
