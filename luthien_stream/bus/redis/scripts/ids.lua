-- Order of stream ids, `<milliseconds>-<sequence>`. Put before the scripts that compare them.
local function parts(id)
  local ms, seq = string.match(id, '^(%d+)-?(%d*)$')
  return tonumber(ms), tonumber(seq) or 0
end
local function before(a, b)
  local a_ms, a_seq = parts(a)
  local b_ms, b_seq = parts(b)
  return a_ms < b_ms or (a_ms == b_ms and a_seq < b_seq)
end
local function smaller(a, b) return before(b, a) and b or a end
local function larger(a, b) return before(a, b) and b or a end
