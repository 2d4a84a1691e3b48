-- Records the output of one call; the first writer wins. Atomic with the count, so
-- that the run is known complete exactly once. Returns 'gone', 'known', or 'recorded'
-- and how many outputs are still missing.
local run, due = KEYS[1], KEYS[2]
local key, generation, index, output, code = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local took_ms, grace_ms = ARGV[6], tonumber(ARGV[7])
if redis.call('HGET', run, 'generation') ~= generation then
  return {'gone'}
end
if not is_open(run, generation) or redis.call('HEXISTS', run, 'body') == 1 then
  redis.call('HINCRBY', run, 'late_outputs', 1)
  return {'gone'}
end
if redis.call('HSETNX', run, 'output:' .. index, output) == 0 then
  return {'known'}
end
local now = now_ms()
redis.call('HSET', run, 'code:' .. index, code, 'took_ms:' .. index, took_ms,
  'ended_at:' .. index, now, 'bytes:' .. index, #output)
local left = number(run, 'calls') - redis.call('HINCRBY', run, 'outputs', 1)
if left == 0 then
  -- the chord submits within milliseconds; when it is lost, the reconciler does after this
  redis.call('ZADD', due, now + grace_ms, key)
end
return {'recorded', left}
