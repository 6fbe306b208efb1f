-- Marks a record that is not there yet, so that whoever is about to write it looks at its owners once more.
--
-- KEYS: record, mark. ARGV: the mark; for how many milliseconds. Replies 1 if the record is not there.
if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[2])
return 1
