-- Writes a record and what is told of it, if the record is still the one that was read.
--
-- KEYS: record, audit (a hash: id of the entry -> entry), mark, then two strings that belong to the record.
-- ARGV: what the record is now, '' for none; what it becomes, '' for none; the last moment for this, in milliseconds,
--       or ''; what the mark must be, '' for none, '*' for any; what the two strings become, '' for none, '=' for what
--       they are; then the entries, each after its id.
local time = redis.call('TIME')
if ARGV[3] ~= '' and tonumber(time[1]) * 1000 + tonumber(time[2]) / 1000 > tonumber(ARGV[3]) then return 'late' end
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 'changed' end
if ARGV[4] ~= '*' and (redis.call('GET', KEYS[3]) or '') ~= ARGV[4] then return 'marked' end

local function set(name, value)
  if value == '' then redis.call('DEL', name) elseif value ~= '=' then redis.call('SET', name, value) end
end

set(KEYS[1], ARGV[2])
set(KEYS[4], ARGV[5])
set(KEYS[5], ARGV[6])
for place = 7, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[place], ARGV[place + 1]) end
return 'written'
