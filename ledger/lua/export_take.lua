-- Gives out runs that ended and whose traces were not exported yet, to one exporter at a time. Read
-- from the sets of ended runs by a cursor, so that no step of a run pays for it. A clock that was set
-- back, as by a failover, may put runs behind the cursor: what lies a little before it is compared
-- with what was exported.
--
-- KEYS: ended, exported of these, dead, exported of these, cursors
-- ARGV: owner, lease_ms, most (runs), overlap_ms (before a cursor, looked at again)
-- Returns: {'leased'} to another owner, or {'taken', for each run: 'ended' or 'dead', key, ended_at}
--- @include "run"
local cursors, owner, lease_ms = KEYS[5], ARGV[1], tonumber(ARGV[2])
local most, overlap_ms = tonumber(ARGV[3]), tonumber(ARGV[4])
local due = KEYS[1]
--- @include "free_write"
local sets = {ended = {KEYS[1], KEYS[2]}, dead = {KEYS[3], KEYS[4]}}
local now = now_ms()
local lease = redis.call('HMGET', cursors, 'owner', 'lease_until')
if lease[1] and lease[1] ~= owner and tonumber(lease[2]) > now then
  return {'leased'}
end
redis.call('HSET', cursors, 'owner', owner, 'lease_until', now + lease_ms)
local answer = {'taken'}
for _, name in ipairs({'dead', 'ended'}) do
  local runs, exported = sets[name][1], sets[name][2]
  -- traces begin when they are switched on, not with what ended before
  redis.call('HSETNX', cursors, name, now)
  local from, offset = tonumber(redis.call('HGET', cursors, name)) - overlap_ms, 0
  while #answer < most * 3 do
    local found = redis.call('ZRANGE', runs, from, '+inf', 'BYSCORE', 'LIMIT', offset, 100,
      'WITHSCORES')
    for at = 1, #found, 2 do
      local is_new = not redis.call('ZSCORE', exported, found[at] .. ':' .. found[at + 1])
      if is_new and #answer < most * 3 then
        answer[#answer + 1] = name
        answer[#answer + 1] = found[at]
        answer[#answer + 1] = found[at + 1]
      end
    end
    if #found < 200 then
      break
    end
    offset = offset + 100
  end
end
return answer
