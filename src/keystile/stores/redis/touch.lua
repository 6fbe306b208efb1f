-- Notes when a key was used, never backwards.
--
-- KEYS: record, when it was used last, when its older secret was used last. ARGV: the moment; 1 if that was the older
-- secret, else 0; by how much it must be after the noted one. The record itself stays what it is.
if redis.call('EXISTS', KEYS[1]) == 0 then return end
for place = 2, 2 + tonumber(ARGV[2]) do
  local before = redis.call('GET', KEYS[place])
  if not before or tonumber(ARGV[1]) - tonumber(before) >= tonumber(ARGV[3]) then
    redis.call('SET', KEYS[place], ARGV[1])
  end
end
