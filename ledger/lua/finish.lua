-- Ends a run whose POST was answered 2xx, and keeps only its timeline. Atomic, so that a run is
-- never both ended and due. Not fenced: a 2xx is the truth whichever sender got it, and it takes
-- back a run that was buried before the answer arrived. Twice is once.
--
-- KEYS: run, due, waiting, ended, dead
-- ARGV: key, generation, retention_s, then the attempt's outcome, names and values by turns
-- Returns: 'gone', or {'finished', milliseconds since acceptance, -1 for a replay}
--- @include "run"
--- @include "outcome"
local run, due, waiting, ended, dead = unpack(KEYS)
local key, generation, retention_s = ARGV[1], ARGV[2], tonumber(ARGV[3])
--- @include "free_write"
local at = redis.call('HMGET', run, 'state', 'generation')
if not at[1] or at[1] == 'submitted' or at[2] ~= generation then
  return 'gone'
end
local now = now_ms()
-- a replay has clocks of its own, and would measure the operator's time
local is_first = redis.call('HEXISTS', run, 'replayed_at:0') == 0
local elapsed_ms = is_first and now - number(run, 'accepted_at') or -1
write_outcome(run, 4)
redis.call('HSET', run, 'state', 'submitted', 'ended_at', now)
local dropped = {
  arguments = 1, bound = 1, output = 1, holder = 1, queued_until = 1, busy_until = 1, body = 1,
  message = 1, recorded_by = 1, accepted_by = 1, begun_by = 1, begun_until = 1, published_at = 1,
  lease_holder = 1, lease_until = 1, is_posting = 1, next_attempt_at = 1, attempt_error = 1,
  answer_by = 1, expires_at = 1, frozen_at = 1, reason = 1,
  spare = 1 -- the last release's
}
local fields, kept = redis.call('HGETALL', run), {}
for at = 1, #fields, 2 do
  if not dropped[string.match(fields[at], '^[^:]+')] then
    kept[#kept + 1] = fields[at]
    kept[#kept + 1] = fields[at + 1]
  end
end
-- written anew: a hash that once held a long value never goes back to Redis' compact form
redis.call('DEL', run)
for at = 1, #kept, 100 do
  redis.call('HSET', run, unpack(kept, at, math.min(at + 99, #kept)))
end
redis.call('ZREM', due, key)
redis.call('ZREM', waiting, key) -- in case it never began
redis.call('ZREM', dead, key)
redis.call('EXPIRE', run, retention_s)
redis.call('ZADD', ended, now, key)
redis.call('ZREMRANGEBYSCORE', ended, '-inf', now - retention_s * 1000)
return {'finished', elapsed_ms}
