-- Returns the lease of the POST after an attempt that failed for now. Fenced, so that a sender
-- whose lease was taken over cannot move the next attempt.
--
-- KEYS: run, due
-- ARGV: key, generation, fence, delay_ms, is_unknown (1 if the attempt may have arrived), then the
--   attempt's outcome, names and values by turns
-- Returns: 'gone' or 'postponed'
--- @include "run"
--- @include "outcome"
local run, due = KEYS[1], KEYS[2]
local key, generation, fence = ARGV[1], ARGV[2], ARGV[3]
local delay_ms, is_unknown = tonumber(ARGV[4]), ARGV[5] == '1'
--- @include "free_write"
if not is_open(run, generation) or redis.call('HGET', run, 'fence') ~= fence then
  return 'gone'
end
local next_at = math.min(now_ms() + delay_ms, number(run, 'expires_at'))
redis.call('HSET', run, 'next_attempt_at', next_at)
write_outcome(run, 6)
redis.call('HDEL', run, 'lease_holder', 'lease_until', 'is_posting')
if is_unknown then
  redis.call('HSET', run, 'is_unknown', 1)
end
redis.call('ZADD', due, next_at, key)
return 'postponed'
