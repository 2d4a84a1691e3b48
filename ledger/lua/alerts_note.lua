-- Compares the causes that hold now with those that were reported, and queues an event for each
-- that is new or has ended. Atomic, and kept here, so that each is reported once, whichever reconciler
-- looks and whenever it is restarted. A cause is reported when it was seen for a while, and has ended
-- when it was not seen for a while, so that one that comes and goes is one.
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
if lease[1] and lease[1] ~= owner and tonumber(lease[2]) > now then
  return 0
end
redis.call('HSET', alerts, 'owner', owner, 'lease_until', now + lease_ms)
if looks == '0' then
  return 1
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
  elseif now - tonumber(known[2]) >= confirm_ms then
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
      and now - tonumber(redis.call('HGET', alerts, 'seen:' .. id)) >= quiet_ms then
    queue('ended', redis.call('HGET', alerts, field))
    redis.call('HDEL', alerts, field, 'seen:' .. id)
  end
end
return 1
