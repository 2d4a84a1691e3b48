-- Forgets a run that has ended. Atomic over the run and the sets it stands in.
local run, due, ended = KEYS[1], KEYS[2], KEYS[3]
local state = redis.call('HGET', run, 'state')
if state and state ~= 'dead' and state ~= 'submitted' then
  return 'not ended'
end
redis.call('ZREM', ended, ARGV[1])
redis.call('ZREM', ARGV[2], ARGV[1])
return redis.call('DEL', run) == 1 and 'dropped' or 'gone'
