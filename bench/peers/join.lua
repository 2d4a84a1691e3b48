-- Keep one output and say whether it was the last: one step, so exactly one worker hears "last".
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
redis.call('EXPIRE', KEYS[1], 86400)
if redis.call('HLEN', KEYS[1]) == tonumber(ARGV[1]) then
  return 1
end
return 0
