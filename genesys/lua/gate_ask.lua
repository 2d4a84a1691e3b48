-- Lets one POST go, or says how long it has to wait and for what. Looking at the window and
-- writing the POST into it are one step, or two workers would take the same place.
-- Returns milliseconds to wait (0 for go), how many could go now (up to ARGV[1]), 1 if it matters
-- how the POST ends, and what has to be waited for: '', 'rate', 'throttled' or 'circuit'. With
-- 'look' nothing is taken.
local window, gate = KEYS[1], KEYS[2]
local most, limit, window_ms, probe_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]),
  tonumber(ARGV[4])
local is_look = ARGV[5] == 'look'
local now = now_ms()
local at = redis.call('HMGET', gate, 'closed_until', 'slow_until', 'last_at', 'open_until',
  'probe_until', 'failures')
for index = 1, 6 do at[index] = tonumber(at[index] or '') or 0 end
local closed_until, slow_until, last_at, open_until, probe_until, failures = unpack(at)
local wait_until, why = 0, ''

local function wait_for(moment, reason)
  if moment > now and moment > wait_until then
    wait_until, why = moment, reason
  end
end

wait_for(closed_until, 'throttled')
if open_until > 0 then
  -- one probe finds out whether the circuit may close; until it is back nobody else goes
  wait_for(math.max(open_until, probe_until), 'circuit')
  most = 1
end
if now < slow_until then
  -- after a 429 somebody else uses the same limit: one by one for a while, not all at once
  wait_for(last_at + math.ceil(window_ms / limit), 'throttled')
  most = 1
end
-- the window holds the times of the POSTs in it, oldest first
while tonumber(redis.call('LINDEX', window, 0) or now) <= now - window_ms do
  redis.call('LPOP', window)
end
local used = redis.call('LLEN', window)
if used >= limit then
  -- the limit may have been lowered: the place that has to be free for one more
  wait_for(redis.call('LINDEX', window, used - limit) + window_ms, 'rate')
end
if wait_until > now then
  return {wait_until - now, 0, 0, why}
end
if is_look then
  return {0, math.min(most, limit - used), 0, ''}
end
redis.call('RPUSH', window, now)
redis.call('PEXPIRE', window, window_ms)
if open_until > 0 then
  redis.call('HSET', gate, 'probe_until', now + probe_ms)
end
if now < slow_until then
  redis.call('HSET', gate, 'last_at', now)
end
return {0, 1, (failures > 0 or open_until > 0) and 1 or 0, ''}
