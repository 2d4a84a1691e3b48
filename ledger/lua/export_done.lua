-- Moves the cursors behind runs whose traces were exported. Only the owner's: another may have taken
-- them over meanwhile, and exports the same runs under the same ids.
--
-- KEYS: exported of ended runs, exported of dead letters, cursors
-- ARGV: owner, overlap_ms (before a cursor, for which exported runs are remembered), then for each
--   run: 'ended' or 'dead', key, ended_at
-- Returns: 1, or 0 when another owner has the lease
local cursors, owner, overlap_ms = KEYS[3], ARGV[1], tonumber(ARGV[2])
local exported = {ended = KEYS[1], dead = KEYS[2]}
local due = KEYS[1]
--- @include "free_write"
if redis.call('HGET', cursors, 'owner') ~= owner then
  return 0
end
for at = 3, #ARGV, 3 do
  local name, key, ended_at = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  redis.call('ZADD', exported[name], ended_at, key .. ':' .. ended_at)
  if tonumber(ended_at) > (tonumber(redis.call('HGET', cursors, name) or '') or 0) then
    redis.call('HSET', cursors, name, ended_at)
  end
end
for name, set in pairs(exported) do
  local cursor = tonumber(redis.call('HGET', cursors, name) or '') or 0
  redis.call('ZREMRANGEBYSCORE', set, '-inf', cursor - overlap_ms - 1)
end
return 1
