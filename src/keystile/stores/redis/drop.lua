-- Takes members out of zsets. KEYS: the zsets. ARGV: the member of each.
for place = 1, #KEYS do redis.call('ZREM', KEYS[place], ARGV[place]) end
return 1
