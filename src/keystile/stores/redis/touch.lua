-- Notes when a key was used, never backwards.
--
-- KEYS: record, when it was used last, when its older secret was used last. ARGV: the moment; 1 if that was the older
-- secret, else 0. Replies 1 if it is the first use, else 0.
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local first = 1 - redis.call('EXISTS', KEYS[2])
for place = 2, 2 + tonumber(ARGV[2]) do
  local before = redis.call('GET', KEYS[place])
  if not before or tonumber(before) < tonumber(ARGV[1]) then redis.call('SET', KEYS[place], ARGV[1]) end
end
return first
