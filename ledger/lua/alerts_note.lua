-- Compares the causes that hold now with those reported, and queues an event for each new or ended
-- one. Atomic, and stored here, so that each is reported once, whichever reconciler looks and whenever
-- it restarts. A cause is reported once it held for confirm_ms, and has ended once it was not seen for
-- quiet_ms, so that a cause that comes and goes is reported once.
--
-- KEYS: due, alerts, outbox
-- ARGV: owner, lease_ms, confirm_ms, quiet_ms, most (events kept), looks (0 to take the lease
--   alone), then id and JSON of each cause
-- Returns: 0 while another owner has the lease, else 1
--- @include "run"
local due, alerts, outbox = KEYS[1], KEYS[2], KEYS[3]
local owner, lease_ms, confirm_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local quiet_ms, most, looks = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
--- @include "free_write"
local now = now_ms()
local lease = redis.call('HMGET', alerts, 'owner', 'lease_until')
local left_ms = (tonumber(lease[2] or '') or 0) - now
-- one that ends later than a lease may was taken by a clock that was ahead
if lease[1] and lease[1] ~= owner and left_ms > 0 and left_ms <= lease_ms then
  return 0
end
redis.call('HSET', alerts, 'owner', owner, 'lease_until', now + lease_ms)
if looks == '0' then
  return 1
end

-- how long ago; what a clock that was ahead wrote down counts as long ago
local function since(at)
  return math.abs(now - tonumber(at))
end

local function queue(event, cause)
  redis.call('RPUSH', outbox, event .. ' ' .. now .. ' ' .. cause)
  redis.call('LTRIM', outbox, -most, -1)
end

local holds = {}
for at = 7, #ARGV, 2 do
  local id, cause = ARGV[at], ARGV[at + 1]
  holds[id] = true
  local known = redis.call('HMGET', alerts, 'open:' .. id, 'new:' .. id)
  if known[1] then
    redis.call('HSET', alerts, 'seen:' .. id, now)
  elseif not known[2] then
    redis.call('HSET', alerts, 'new:' .. id, now)
  elseif since(known[2]) >= confirm_ms then
    redis.call('HSET', alerts, 'open:' .. id, cause, 'seen:' .. id, now)
    redis.call('HDEL', alerts, 'new:' .. id)
    queue('raised', cause)
  end
end
for _, field in ipairs(redis.call('HKEYS', alerts)) do
  local kind, id = string.match(field, '^(%a+):(.*)$')
  if kind == 'new' and not holds[id] then
    redis.call('HDEL', alerts, field)
  elseif kind == 'open' and not holds[id]
      and since(redis.call('HGET', alerts, 'seen:' .. id)) >= quiet_ms then
    queue('ended', redis.call('HGET', alerts, field))
    redis.call('HDEL', alerts, field, 'seen:' .. id)
  end
end
return 1
