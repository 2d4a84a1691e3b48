-- Gives the fleet's token, or the right to ask Genesys for one, to one worker at a time.
-- Atomic, so that two workers that see no token do not both get the right.
-- Returns 'good', token, milliseconds until it is to be renewed | 'renew' | 'paused', why, milliseconds left | 'wait'.
local token, lock, pause = KEYS[1], KEYS[2], KEYS[3]
local owner, lock_ms = ARGV[1], ARGV[2]
local now = now_ms()
local held = redis.call('HMGET', token, 'text', 'renew_at', 'ends_at')
local is_good = held[1] and tonumber(held[3]) > now
if is_good and tonumber(held[2]) > now then
  return {'good', held[1], held[2] - now}
end
local why = redis.call('GET', pause)
if not why and (redis.call('SET', lock, owner, 'NX', 'PX', lock_ms)
    -- the same question again: its first answer was lost on the way
    or redis.call('GET', lock) == owner) then
  return {'renew'}
end
if is_good then
  return {'good', held[1], 0}
end
if why then
  return {'paused', why, redis.call('PTTL', pause)}
end
return {'wait'}
