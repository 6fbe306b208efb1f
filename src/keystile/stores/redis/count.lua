-- Adds to counts of keys. Numbers stay strings, so that none is too big for Lua.
--
-- KEYS: index (a zset: member -> the first hour that is counted there); then for each key and day its counts (a hash:
-- field -> number) and the days of its key (a zset). ARGV: for each of these its member of the index, the day, the first
-- hour, how many fields; then each field and what is added to it.
local place = 1
for name = 2, #KEYS, 2 do
  redis.call('ZADD', KEYS[1], 'LT', ARGV[place + 2], ARGV[place])
  redis.call('ZADD', KEYS[name + 1], ARGV[place + 1], ARGV[place + 1])
  local fields = place + 4
  place = fields + 2 * tonumber(ARGV[place + 3])
  for each = fields, place - 1, 2 do redis.call('HINCRBY', KEYS[name], ARGV[each], ARGV[each + 1]) end
end
return 1
