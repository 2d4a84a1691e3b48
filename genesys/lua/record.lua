-- Records how a POST ended. Counting a failure and opening the circuit are one step, so that the
-- circuit opens once and not once for each of the failures that come at the same time.
--
-- KEYS  gate: as in acquire.lua
-- args  outcome: 'success' (any answer but those below), 'failure' or 'throttled'
--       keep_ms: the state expires so long after the last outcome
--       closed_ms, slow_ms ('throttled'): no POST for so long, then one by one for so long
--       threshold ('failure'): so many in a row open the circuit
--       open_ms, longest_open_ms ('failure'): for so long, doubled with each probe that fails
-- Returns 'open' or 'closed' when this outcome changed the circuit, else 'same'
local gate = KEYS[1]
local now = now_ms()
local open_until = tonumber(redis.call('HGET', gate, 'open_until') or '') or 0
local change = 'same'
write_when_full(gate)
if args.outcome == 'throttled' then
  local closed_until = tonumber(redis.call('HGET', gate, 'closed_until') or '') or 0
  closed_until = math.max(closed_until, now + args.closed_ms)
  redis.call('HSET', gate, 'closed_until', closed_until, 'slow_until', closed_until + args.slow_ms)
end
if args.outcome == 'failure' then
  local failures = redis.call('HINCRBY', gate, 'failures', 1)
  -- while the circuit is open, only a POST sent after the wait is news
  if failures >= args.threshold and open_until <= now then
    local open_ms = tonumber(redis.call('HGET', gate, 'open_ms') or '') or args.open_ms / 2
    open_ms = math.min(open_ms * 2, args.longest_open_ms)
    redis.call('HSET', gate, 'open_ms', open_ms, 'open_until', now + open_ms)
    redis.call('HDEL', gate, 'probe_until')
    change = open_until == 0 and 'open' or 'same'
  end
else
  -- any other answer shows that Genesys is up
  redis.call('HDEL', gate, 'failures', 'open_ms', 'open_until', 'probe_until')
  change = open_until > 0 and 'closed' or 'same'
end
redis.call('PEXPIRE', gate, args.keep_ms)
return change
