-- Ends a run whose POST was answered 2xx, and keeps only its timeline. Atomic, so that a run
-- is never both ended and due. Not fenced: a 2xx is the truth, whoever heard it.
local run, due, ended = KEYS[1], KEYS[2], KEYS[3]
local key, generation, outcome, retention_s = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
if not is_open(run, generation) then
  return 'gone'
end
local now = now_ms()
for index = 0, number(run, 'calls') - 1 do
  redis.call('HDEL', run, 'arguments:' .. index, 'output:' .. index, 'holder:' .. index,
    'queued_until:' .. index, 'busy_until:' .. index)
end
redis.call('HSET', run, 'state', 'submitted', 'ended_at', now,
  'attempt:' .. number(run, 'attempts'), outcome)
redis.call('HDEL', run, 'body', 'lease_holder', 'lease_until', 'is_posting', 'next_attempt_at')
redis.call('ZREM', due, key)
redis.call('EXPIRE', run, retention_s)
redis.call('ZADD', ended, now, key)
redis.call('ZREMRANGEBYSCORE', ended, '-inf', now - retention_s * 1000)
return 'finished'
