-- Writes down why no token came, so that for a while nobody asks again, and gives the lock
-- back; in one step, or the next worker would ask in between. The pause may be longer while
-- there is a token that is still good.
-- Returns 1 if the lock was still the asker's, else 0 and nothing is written.
local token, lock, pause = KEYS[1], KEYS[2], KEYS[3]
local owner, why, pause_ms, good_pause_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if redis.call('GET', lock) ~= owner then
  return 0
end
local left_ms = (tonumber(redis.call('HGET', token, 'ends_at') or '') or 0) - now_ms()
if left_ms > 0 then
  -- but not longer than that token
  pause_ms = math.max(tonumber(pause_ms), math.min(tonumber(good_pause_ms), left_ms))
end
redis.call('SET', pause, why, 'PX', pause_ms)
redis.call('DEL', lock)
return 1
