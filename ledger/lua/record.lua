-- Records the output of one call; the first writer wins. Atomic with the count, so that exactly
-- one worker learns that none is left.
--
-- KEYS: run, due
-- ARGV: key, generation, index, owner, output, code, validate_ms, query_ms, grace_ms (from the last
--   output to the reconciler's look)
-- Returns: {'recorded', outputs missing}, {'known'} when another worker recorded it, or {'gone'}
--- @include "run"
local run, due = KEYS[1], KEYS[2]
local key, generation, index, owner, output, code = unpack(ARGV, 1, 6)
local validate_ms, query_ms, grace_ms = ARGV[7], ARGV[8], tonumber(ARGV[9])
--- @include "free_write"
if redis.call('HGET', run, 'generation') ~= generation then
  return {'gone'}
elseif not takes_outputs(run, generation) then
  redis.call('HINCRBY', run, 'late_outputs', 1)
  return {'gone'}
end
local now = now_ms()
if redis.call('HSETNX', run, 'output:' .. index, output) == 1 then
  redis.call('HSET', run, 'code:' .. index, code, 'validate_ms:' .. index, validate_ms,
    'took_ms:' .. index, query_ms, 'ended_at:' .. index, now, 'bytes:' .. index, #output,
    'recorded_by:' .. index, owner)
  redis.call('HINCRBY', run, 'outputs', 1)
elseif redis.call('HGET', run, 'recorded_by:' .. index) ~= owner then
  return {'known'}
end
local left = number(run, 'calls') - number(run, 'outputs')
if left == 0 then
  -- the worker of the last output submits within milliseconds; should it die, the reconciler does
  redis.call('ZADD', due, now + grace_ms, key)
end
return {'recorded', left}
