-- Deletes a run that has ended. Atomic over the run and the sets it stands in.
--
-- KEYS: run, ended, dead
-- ARGV: key
-- Returns: 'dropped', 'gone', or 'not ended'
local run, ended, dead = KEYS[1], KEYS[2], KEYS[3]
local key = ARGV[1]
local state = redis.call('HGET', run, 'state')
if state and state ~= 'dead' and state ~= 'submitted' then
  return 'not ended'
end
redis.call('ZREM', ended, key)
redis.call('ZREM', dead, key)
return redis.call('DEL', run) == 1 and 'dropped' or 'gone'
