-- Returns the fleet's token, or the right to request one from Genesys, to one worker at a time.
-- One step, so that two workers that see no token do not both get the right.
--
-- KEYS  token: a hash, the token's text, and when it is to be renewed and ends
--       lock: a string, the owner that requests a token now
--       pause: a string, why no token is requested for now
-- args  owner: of the lock; never used twice
--       lock_ms: how long the owner may take
-- Returns {'good', text, milliseconds until it is to be renewed} | {'renew'} |
-- {'paused', the pause's JSON, milliseconds left} | {'wait'}
local token, lock, pause = KEYS[1], KEYS[2], KEYS[3]
local now = now_ms()
local held = redis.call('HMGET', token, 'text', 'renew_at', 'ends_at')
local is_good = held[1] and tonumber(held[3]) > now
if is_good and tonumber(held[2]) > now then
  return {'good', held[1], held[2] - now}
end
write_when_full(token)
local why = redis.call('GET', pause)
if not why and (redis.call('SET', lock, args.owner, 'NX', 'PX', args.lock_ms)
    -- the same request again: its first answer was lost
    or redis.call('GET', lock) == args.owner) then
  return {'renew'}
end
if is_good then
  return {'good', held[1], 0}
end
if why then
  return {'paused', why, redis.call('PTTL', pause)}
end
return {'wait'}
