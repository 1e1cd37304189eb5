-- How far the group is behind: entries not delivered (-1 unknown), pending, age of the oldest unconfirmed entry in ms.
-- KEYS stream; ARGV group
local delivered, pending, lowest, behind = group_state(KEYS[1], ARGV[1])
if not delivered then return {-1, 0, 0} end
local oldest = pending > 0 and lowest
if not oldest then
  local unread = redis.call('XRANGE', KEYS[1], '(' .. delivered, '+', 'COUNT', 1)
  oldest = unread[1] and unread[1][1]
end
local age = oldest and math.max(0, now_ms() - parts(oldest)) or 0
return {behind or -1, pending, age}
