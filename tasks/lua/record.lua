-- Records the output of one call; the first writer wins. Atomic with the count, so
-- that the run is known complete exactly once. Returns 'gone', 'known', or 'recorded', how many
-- outputs are still missing, and for a worker with a message: after the last, the run id and what
-- 'outputs' would say; else the next spare call, given to it.
local run, due = KEYS[1], KEYS[2]
local key, generation, index, output, code = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local took_ms, grace_ms, by = ARGV[6], tonumber(ARGV[7]), asker(8)
if redis.call('HGET', run, 'generation') ~= generation then
  return {'gone'}
end
if not is_open(run, generation) or redis.call('HEXISTS', run, 'body') == 1 then
  redis.call('HINCRBY', run, 'late_outputs', 1)
  return {'gone'}
end
local now, calls = now_ms(), number(run, 'calls')
local is_repeat = redis.call('HSETNX', run, 'output:' .. index, output) == 0
if not is_repeat then
  redis.call('HSET', run, 'code:' .. index, code, 'took_ms:' .. index, took_ms,
    'ended_at:' .. index, now, 'bytes:' .. index, #output, 'recorded_by:' .. index, by.holder)
  redis.call('HINCRBY', run, 'outputs', 1)
elseif redis.call('HGET', run, 'recorded_by:' .. index) ~= by.holder then
  return {'known'}
end
local left = calls - number(run, 'outputs')
if left == 0 then
  -- whoever records the last submits within milliseconds; should it die, the reconciler does
  redis.call('ZADD', due, now + grace_ms, key)
  if by.message ~= '' then
    return {'recorded', 0, redis.call('HGET', run, 'run_id'), outputs_of(run)}
  end
elseif by.message ~= '' then
  -- asked twice, because the first answer was lost on the way: the call that it gave
  local again = is_repeat and take_again(run, now, by)
  if again then
    return {'recorded', left, again}
  end
  local spare = redis.call('HGET', run, 'spare') or ''
  while spare ~= '' do
    local following, rest = string.match(spare, '^(%d+),?(.*)$')
    spare = rest
    redis.call('HSET', run, 'spare', spare)
    if redis.call('HEXISTS', run, 'output:' .. following) == 0
        and number(run, 'busy_until:' .. following) <= now then
      return {'recorded', left, unpack({take(run, tonumber(following), now, by)})}
    end
  end
end
return {'recorded', left}
