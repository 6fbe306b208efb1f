-- Removes a string if it is still this one. KEYS: the string. ARGV: what it must be.
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
