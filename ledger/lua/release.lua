-- Returns the lease of a call that could not be answered for now, without counting the try, and
-- makes the run due for another.
--
-- KEYS: run, due
-- ARGV: key, generation, index, owner, delay_ms, margin_ms (kept free before answer-by)
-- Returns: 'gone', 'late' when no time is left for another try, or 'released'
--- @include "run"
local run, due = KEYS[1], KEYS[2]
local key, generation, index, owner = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local delay_ms, margin_ms = tonumber(ARGV[5]), tonumber(ARGV[6])
--- @include "free_write"
if not is_open(run, generation) or redis.call('HGET', run, 'holder:' .. index) ~= owner then
  return 'gone'
end
local again_at = now_ms() + delay_ms
if again_at >= number(run, 'answer_by') - margin_ms then
  return 'late'
end
redis.call('HDEL', run, 'holder:' .. index, 'message:' .. index, 'busy_until:' .. index)
redis.call('HSET', run, 'queued_until:' .. index, again_at)
redis.call('HINCRBY', run, 'tries:' .. index, -1)
redis.call('ZADD', due, 'LT', again_at, key)
return 'released'
