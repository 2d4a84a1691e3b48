-- Parks a run in the send queue while no POST may go. Nothing is frozen and no attempt counted.
-- Atomic, so that a parked run is due at its expiry at the latest. Twice is once.
--
-- KEYS: run, due, send queue
-- ARGV: key, generation, why (a sentence for the operator)
-- Returns: 'queued', or what 'claim' would have returned: 'gone', 'expired', 'held', 'waiting',
--   'incomplete'
--- @include "run"
local run, due, send_queue = KEYS[1], KEYS[2], KEYS[3]
local key, generation, why = ARGV[1], ARGV[2], ARGV[3]
--- @include "free_write"
if not is_open(run, generation) then
  return 'gone'
end
local now = now_ms()
local answer_by, expires_at = number(run, 'answer_by'), number(run, 'expires_at')
if number(run, 'lease_until') > now then
  return 'held'
end
if expires_at <= now then
  return 'expired'
end
if number(run, 'next_attempt_at') > now then
  return 'waiting'
end
if redis.call('HEXISTS', run, 'body') == 0 and number(run, 'outputs') < number(run, 'calls')
    and now < answer_by then
  return 'incomplete'
end
redis.call('HSET', run, 'waits_for', why)
redis.call('ZADD', send_queue, answer_by, key)
redis.call('ZADD', due, expires_at, key)
return 'queued'
