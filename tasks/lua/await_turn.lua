-- Lets a run wait for its turn at Genesys, while no POST may go. Nothing is frozen and no attempt
-- counted. One step, so that a run that waits is due at its expiry at the latest.
-- Returns what 'claim' would have said, 'gone', 'expired', 'held', 'waiting', 'incomplete', or
-- 'queued'.
local run, due, turns = KEYS[1], KEYS[2], KEYS[6]
local key, generation, why = ARGV[1], ARGV[2], ARGV[3]
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
redis.call('ZADD', turns, answer_by, key)
redis.call('ZADD', due, expires_at, key)
return 'queued'
