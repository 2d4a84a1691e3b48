-- Learns from how a POST ended. Counting and opening are one step, so that the circuit opens
-- once and not once for each of the failures that come at the same time.
-- Returns 'open' or 'closed' when this answer changed the circuit, else 'same'.
local gate = KEYS[1]
local outcome, keep_ms = ARGV[1], tonumber(ARGV[2])
local now = now_ms()
local open_until = tonumber(redis.call('HGET', gate, 'open_until') or '') or 0
local change = 'same'
if outcome == 'throttled' then
  local wait_ms, slow_ms = tonumber(ARGV[3]), tonumber(ARGV[4])
  local closed_until = tonumber(redis.call('HGET', gate, 'closed_until') or '') or 0
  closed_until = math.max(closed_until, now + wait_ms)
  redis.call('HSET', gate, 'closed_until', closed_until, 'slow_until', closed_until + slow_ms)
end
if outcome == 'down' then
  local plain, first_ms, longest_ms = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
  local failures = redis.call('HINCRBY', gate, 'failures', 1)
  -- while it is open, only what came after the wait says anything new
  if failures >= plain and open_until <= now then
    local open_ms = tonumber(redis.call('HGET', gate, 'open_ms') or '') or first_ms / 2
    open_ms = math.min(open_ms * 2, longest_ms)
    redis.call('HSET', gate, 'open_ms', open_ms, 'open_until', now + open_ms)
    redis.call('HDEL', gate, 'probe_until')
    change = open_until == 0 and 'open' or 'same'
  end
else
  -- whatever else Genesys says, it is there
  redis.call('HDEL', gate, 'failures', 'open_ms', 'open_until', 'probe_until')
  change = open_until > 0 and 'closed' or 'same'
end
redis.call('PEXPIRE', gate, keep_ms)
return change
