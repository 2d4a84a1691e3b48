-- Forgets exactly the token that was refused; compared and deleted in one step, because a
-- newer one may have come meanwhile. A pause that was made while it was good ends with it.
-- Returns 1 if it was the fleet's, else 0.
local token, pause = KEYS[1], KEYS[2]
if redis.call('HGET', token, 'text') ~= ARGV[1] then
  return 0
end
redis.call('DEL', token, pause)
return 1
