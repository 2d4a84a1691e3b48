-- Extends a lease for one more POST in place, and writes down how the last one ended.
-- Fenced, so that a sender that slept too long stops. Returns 'gone', or 'renewed' and the attempt.
local run, due = KEYS[1], KEYS[2]
local key, generation, fence = ARGV[1], ARGV[2], ARGV[3]
local is_unknown, lease_ms = ARGV[4] == '1', tonumber(ARGV[5])
if not is_open(run, generation) or redis.call('HGET', run, 'fence') ~= fence then
  return {'gone'}
end
local now = now_ms()
write_outcome(run, 6)
local attempt = redis.call('HINCRBY', run, 'attempts', 1)
redis.call('HSET', run, 'lease_until', now + lease_ms, 'attempt_at:' .. attempt, now)
if is_unknown then
  redis.call('HSET', run, 'is_unknown', 1)
end
redis.call('ZADD', due, now + lease_ms, key)
return {'renewed', attempt}
