-- Replies what is in each of these hashes. KEYS: the hashes.
local found = {}
for place = 1, #KEYS do found[place] = redis.call('HGETALL', KEYS[place]) end
return found
