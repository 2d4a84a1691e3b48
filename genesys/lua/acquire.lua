-- Takes a place for one POST, or returns how long it has to wait and why. Reading the window and
-- writing the POST into it are one step, or two workers would take the same place.
--
-- KEYS  window: a list, the times of the POSTs in it, oldest first
--       gate: a hash, the state of throttling and circuit breaker
-- args  most: how many POSTs the caller would like to send
--       limit, window_ms: so many POSTs in so many milliseconds
--       probe_ms: a probe without an outcome is replaced after this
--       takes: true takes one place, false takes nothing
-- Returns {milliseconds to wait (0: go), how many could go now (up to most), 1 if the POST's
-- outcome must be recorded even if it is a success, reason to wait: '' | 'rate' | 'throttled' |
-- 'circuit'}
local window, gate = KEYS[1], KEYS[2]
local most = args.most
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
  -- one probe finds out whether the circuit may close; until it has an outcome no other POST goes
  wait_for(math.max(open_until, probe_until), 'circuit')
  most = 1
end
if now < slow_until then
  -- a 429 means that another client uses the same limit: one by one for a while, not all at once
  wait_for(last_at + math.ceil(args.window_ms / args.limit), 'throttled')
  most = 1
end
write_when_full(gate)
while tonumber(redis.call('LINDEX', window, 0) or now) <= now - args.window_ms do
  redis.call('LPOP', window)
end
local used = redis.call('LLEN', window)
if used >= args.limit then
  -- the limit may have been lowered: the place that has to be free for one more
  wait_for(redis.call('LINDEX', window, used - args.limit) + args.window_ms, 'rate')
end
if wait_until > now then
  return {wait_until - now, 0, 0, why}
end
if not args.takes then
  return {0, math.min(most, args.limit - used), 0, ''}
end
redis.call('RPUSH', window, now)
redis.call('PEXPIRE', window, args.window_ms)
if open_until > 0 then
  redis.call('HSET', gate, 'probe_until', now + args.probe_ms)
end
if now < slow_until then
  redis.call('HSET', gate, 'last_at', now)
end
return {0, 1, (failures > 0 or open_until > 0) and 1 or 0, ''}
