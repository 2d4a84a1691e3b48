-- Forgets exactly the token that was refused; compared and deleted in one step, because a newer
-- one may have come meanwhile. A pause that was made while it was good ends with it.
--
-- KEYS  token, pause: as in token_take.lua
-- args  text: of the refused token
-- Returns 1 if it was the fleet's, else 0
local token, pause = KEYS[1], KEYS[2]
if redis.call('HGET', token, 'text') ~= args.text then
  return 0
end
redis.call('DEL', token, pause)
return 1
