-- How far the activity group of a stream has come. Put before the scripts that trim or drop streams; needs `ids`.
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
local function fields(list)
  local found = {}
  for i = 1, #list, 2 do found[list[i]] = list[i + 1] end
  return found
end
local function last_id(stream)
  local info = redis.pcall('XINFO', 'STREAM', stream)
  return info.err and '0-0' or fields(info)['last-generated-id']
end
-- Returns nil without such a group, else: last delivered id, number pending, lowest pending id, lag (false if unknown).
local function group_state(stream, group)
  local groups = redis.pcall('XINFO', 'GROUPS', stream)
  if groups.err then return nil end
  for _, each in ipairs(groups) do
    local found = fields(each)
    if found['name'] == group then
      local pending = redis.call('XPENDING', stream, group)
      return found['last-delivered-id'], pending[1], pending[2], found['lag']
    end
  end
  return nil
end
-- The point to trim at: `wanted`, but not past what the group has not confirmed, unless that is older than `max_age`.
local function trim_point(stream, group, wanted, max_age)
  local delivered, pending, lowest = group_state(stream, group)
  if not delivered then return wanted end
  local confirmed = pending > 0 and lowest or delivered
  local oldest = string.format('%.0f-0', math.max(0, now_ms() - tonumber(max_age)))
  return smaller(wanted, larger(confirmed, oldest))
end
