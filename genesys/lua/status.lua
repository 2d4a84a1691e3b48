-- Reads the state of rate limit, circuit breaker and token in one step; writes nothing.
--
-- KEYS  window, gate: as in acquire.lua
--       pause: a string, why no token is requested for now
-- args  limit, window_ms: as in acquire.lua
-- Returns {reason to wait: '' | 'throttled' | 'circuit' | 'rate', milliseconds to wait, failures
-- in a row, POSTs in the window, 1 if the circuit is open, the pause's JSON or '', milliseconds
-- that the pause lasts, what Genesys said in the window is left of its limit or -1}
local window, gate, pause = KEYS[1], KEYS[2], KEYS[3]
local now = now_ms()
local at = redis.call('HMGET', gate, 'closed_until', 'open_until', 'probe_until', 'failures',
  'remaining', 'remaining_at')
for index = 1, 6 do at[index] = tonumber(at[index] or '') or 0 end
local closed_until, open_until, probe_until, failures, remaining, remaining_at = unpack(at)
if remaining_at <= now - args.window_ms then
  remaining = -1
end
local used, oldest = 0, nil
for _, moment in ipairs(redis.call('LRANGE', window, 0, -1)) do
  if tonumber(moment) > now - args.window_ms then
    used = used + 1
    oldest = oldest or tonumber(moment)
  end
end
local why, until_ms = '', now
if open_until > 0 then
  why, until_ms = 'circuit', math.max(open_until, probe_until)
elseif closed_until > now then
  why, until_ms = 'throttled', closed_until
elseif used >= args.limit then
  why, until_ms = 'rate', oldest + args.window_ms
end
local is_open = open_until > 0 and 1 or 0
local paused = redis.call('GET', pause) or ''
return {why, math.max(until_ms - now, 0), failures, used, is_open, paused,
  math.max(redis.call('PTTL', pause), 0), remaining}
