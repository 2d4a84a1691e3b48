-- Leases the POST to one sender, and freezes the body in the same step, so that every attempt there
-- will ever be sends these bytes.
--
-- KEYS: run, due, send queue
-- ARGV: key, generation, owner, body, seen (outputs that the body was made from), lease_ms
-- Returns: {'claimed', fence, attempt, milliseconds to expiry, 1 if an earlier attempt may have
--   arrived}; or {'gone'}, {'expired'}, {'held'}, {'waiting'}, {'incomplete'}, or {'changed'} when
--   an output came, or another sender froze a body, since the outputs were read
--- @include "run"
local run, due, send_queue = KEYS[1], KEYS[2], KEYS[3]
local key, generation, owner, body = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local seen, lease_ms = tonumber(ARGV[5]), tonumber(ARGV[6])
--- @include "free_write"
if not is_open(run, generation) then
  return {'gone'}
end
local now = now_ms()
local is_repeat = redis.call('HGET', run, 'lease_holder') == owner
-- before the expiry: the sender of a POST across that moment may learn that it arrived
if number(run, 'lease_until') > now and not is_repeat then
  return {'held'}
end
local expires_in = number(run, 'expires_at') - now
if expires_in <= 0 then
  return {'expired'}
end
if number(run, 'next_attempt_at') > now then
  return {'waiting'}
end
if redis.call('HEXISTS', run, 'body') == 0 then
  local outputs = number(run, 'outputs')
  if outputs ~= seen then
    return {'changed'}
  end
  if outputs < number(run, 'calls') and now < number(run, 'answer_by') then
    return {'incomplete'}
  end
  redis.call('HSET', run, 'body', body, 'state', 'submitting', 'frozen_at', now)
elseif redis.call('HGET', run, 'body') ~= body then
  return {'changed'}
end
if not is_repeat then
  -- a claim without an outcome: its sender died, and it is unknown whether the POST arrived
  if redis.call('HGET', run, 'is_posting') == '1' then
    redis.call('HSET', run, 'is_unknown', 1)
  end
  redis.call('HINCRBY', run, 'fence', 1)
  local attempt = redis.call('HINCRBY', run, 'attempts', 1)
  redis.call('HSET', run, 'lease_holder', owner, 'is_posting', 1, 'attempt_at:' .. attempt, now)
  redis.call('HDEL', run, 'waits_for')
  redis.call('ZREM', send_queue, key)
end
redis.call('HSET', run, 'lease_until', now + lease_ms)
redis.call('ZADD', due, now + lease_ms, key)
return {'claimed', number(run, 'fence'), number(run, 'attempts'), expires_in, number(run, 'is_unknown')}
