-- Drops old counts.
--
-- KEYS: as for adding. ARGV: the first hour that stays; how many counts may go; then for each key and day its member of
-- the index, and the day. Replies how many went.
local before, most, gone = tonumber(ARGV[1]), tonumber(ARGV[2]), 0
for name = 2, #KEYS, 2 do
  local first
  for _, field in ipairs(redis.call('HKEYS', KEYS[name])) do
    local hour = tonumber(string.match(field, '^%d+')) or 0
    if hour < before and gone < most then
      gone = gone + redis.call('HDEL', KEYS[name], field)
    elseif not first or hour < first then
      first = hour
    end
  end
  local member, day = ARGV[name + 1], ARGV[name + 2]
  if first then
    redis.call('ZADD', KEYS[1], first, member)
  else
    redis.call('ZREM', KEYS[1], member)
    redis.call('ZREM', KEYS[name + 1], day)
  end
end
return gone
