-- Keeps a new token for the fleet, if its owner still has the lock: one whose lock expired may be
-- late, and would replace a newer token by an older one.
--
-- KEYS  token, lock, pause: as in token_take.lua
-- args  owner, text
--       renew_ms, life_ms: when it is to be renewed and when it ends, from now on
-- Returns 1 if it was kept, else 0
local token, lock, pause = KEYS[1], KEYS[2], KEYS[3]
if redis.call('GET', lock) ~= args.owner then
  return 0
end
local now = now_ms()
write_when_full(token)
redis.call('HSET', token, 'text', args.text, 'renew_at', now + args.renew_ms,
  'ends_at', now + args.life_ms)
redis.call('PEXPIRE', token, args.life_ms)
redis.call('DEL', lock, pause)
return 1
