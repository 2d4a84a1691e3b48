-- Keeps a new token for all, if its asker still has the lock: one whose lock ran out may be
-- late, and would put an older token in the place of a newer one.
-- Returns 1 if it was kept, else 0.
local token, lock, pause = KEYS[1], KEYS[2], KEYS[3]
local owner, text, renew_ms, life_ms = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
if redis.call('GET', lock) ~= owner then
  return 0
end
local now = now_ms()
redis.call('HSET', token, 'text', text, 'renew_at', now + renew_ms, 'ends_at', now + life_ms)
redis.call('PEXPIRE', token, life_ms)
redis.call('DEL', lock, pause)
return 1
