-- Extends the lease for one more POST in place, and writes down how the last one ended. Fenced, so
-- that a sender that slept too long stops; it names the attempt that ended, so that a call repeated
-- after a lost reply counts one.
--
-- KEYS: run, due
-- ARGV: key, generation, fence, is_unknown (1 if the attempt may have arrived), lease_ms, ended
--   (number of the attempt), then its outcome, names and values by turns
-- Returns: {'gone'}, or {'renewed', attempt}
--- @include "run"
--- @include "outcome"
local run, due = KEYS[1], KEYS[2]
local key, generation, fence = ARGV[1], ARGV[2], ARGV[3]
local is_unknown, lease_ms, ended = ARGV[4] == '1', tonumber(ARGV[5]), tonumber(ARGV[6])
--- @include "free_write"
local now = now_ms()
if not is_open(run, generation) or redis.call('HGET', run, 'fence') ~= fence
    or number(run, 'expires_at') <= now then
  return {'gone'}
end
local attempt = number(run, 'attempts')
if attempt == ended then
  write_outcome(run, 7)
  attempt = redis.call('HINCRBY', run, 'attempts', 1)
end
redis.call('HSET', run, 'lease_until', now + lease_ms, 'attempt_at:' .. attempt, now)
if is_unknown then
  redis.call('HSET', run, 'is_unknown', 1)
end
redis.call('ZADD', due, now + lease_ms, key)
return {'renewed', attempt}
