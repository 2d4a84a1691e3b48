-- Ends a run as a dead letter that keeps everything for a replay. Fenced when a fence is given;
-- without one only if the run has expired and no sender has its lease, since it may have been
-- replayed or claimed meanwhile. Atomic, so that a dead letter is never due. An expired run may
-- still have been delivered; its reason is then 'unconfirmed'.
--
-- KEYS: run, due, waiting, send queue, dead
-- ARGV: key, generation, fence (or empty), reason, retention_s, then the attempt's outcome, names
--   and values by turns
-- Returns: {'gone'}, or {'buried', reason}
--- @include "run"
--- @include "outcome"
local run, due, waiting, send_queue, dead = unpack(KEYS)
local key, generation, fence, reason = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local retention_s = tonumber(ARGV[5])
--- @include "free_write"
if not is_open(run, generation) then
  return {'gone'}
end
local now = now_ms()
if fence == '' then
  if number(run, 'expires_at') > now or number(run, 'lease_until') > now then
    return {'gone'}
  end
  -- a claim without an outcome: its sender died or cannot reach the ledger; a replay must know it
  if redis.call('HGET', run, 'is_posting') == '1' then
    redis.call('HSET', run, 'is_unknown', 1)
  end
elseif redis.call('HGET', run, 'fence') ~= fence then
  return {'gone'}
end
if reason == 'expired' and redis.call('HGET', run, 'is_unknown') == '1' then
  reason = 'unconfirmed'
end
redis.call('HSET', run, 'state', 'dead', 'reason', reason, 'ended_at', now)
write_outcome(run, 6)
redis.call('HDEL', run, 'lease_holder', 'lease_until', 'is_posting')
redis.call('ZREM', due, key)
redis.call('ZREM', waiting, key) -- in case it never began
redis.call('ZREM', send_queue, key)
redis.call('EXPIRE', run, retention_s)
redis.call('ZADD', dead, now, key)
redis.call('ZREMRANGEBYSCORE', dead, '-inf', now - retention_s * 1000)
return {'buried', reason}
