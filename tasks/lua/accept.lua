-- Stores a run unless its key is there already. Atomic, so that fifty equal
-- deliveries at once make one run, and a run never exists without a due time.
local run, due = KEYS[1], KEYS[2]
local key, run_id, digest = ARGV[1], ARGV[2], ARGV[3]
local answer_by_ms, expires_ms, first_look_ms = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local known = redis.call('HGET', run, 'digest')
if known then
  return known == digest and 'duplicate' or 'conflict'
end
local now = now_ms()
redis.call('HSET', run, 'version', 1, 'run_id', run_id, 'digest', digest, 'state', 'accepted',
  'generation', 0, 'calls', (#ARGV - 6) / 3, 'outputs', 0, 'accepted_at', now,
  'answer_by', now + answer_by_ms, 'expires_at', now + expires_ms)
for at = 7, #ARGV, 3 do
  local index = (at - 7) / 3
  redis.call('HSET', run, 'id:' .. index, ARGV[at], 'name:' .. index, ARGV[at + 1],
    'arguments:' .. index, ARGV[at + 2])
end
redis.call('ZADD', due, now + first_look_ms, key)
return 'accepted'
