-- Counts the live keys of one owner, and notes one more if there is room.
--
-- KEYS: live (a zset: entry -> when the key expires), held (a zset: entry -> when it was noted), list (a zset by age).
-- ARGV: the entry, or '' to count only; when it expires; its member of the list, or ''; now; how many there may be, or
--       ''; then the fields of an entry: the key's own id, and the organization, project and owner that are counted,
--       '*' for any.
-- Replies the server's time in milliseconds, whether there was room, and if not, the other entries, each followed by
-- when it was noted, or ''.

-- The fields of an entry, each with its length before it.
local function fields(entry)
  local found, from = {}, 1
  while from <= #entry do
    local _, last, size = string.find(entry, '^([%d%-]+):', from)
    if not last then return found end
    last = last + (tonumber(size) or 0)
    found[#found + 1] = string.sub(entry, from, last)
    from = last + 1
  end
  return found
end

local function is_counted(known)
  if known[1] == ARGV[6] then return false end
  for place = 1, 3 do
    if ARGV[6 + place] ~= '*' and ARGV[6 + place] ~= known[2 + place] then return false end
  end
  return true
end

local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local most = tonumber(ARGV[5])
local any = ARGV[7] == '*' and ARGV[8] == '*' and ARGV[9] == '*'

if most and not (any and redis.call('ZCOUNT', KEYS[1], '(' .. ARGV[4], '+inf') < most) then
  local others, ids, count = {}, {}, 0
  for _, entry in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. ARGV[4], '+inf')) do
    local known = fields(entry)
    if is_counted(known) then
      if not ids[known[1]] then ids[known[1]], count = true, count + 1 end
      others[#others + 1] = entry
      others[#others + 1] = redis.call('ZSCORE', KEYS[2], entry) or ''
    end
  end
  if count >= most then return {now, 0, others} end
end

if ARGV[1] ~= '' then
  redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
  redis.call('ZADD', KEYS[2], now, ARGV[1])
  if ARGV[3] ~= '' then redis.call('ZADD', KEYS[3], 0, ARGV[3]) end
end
return {now, 1, {}}
