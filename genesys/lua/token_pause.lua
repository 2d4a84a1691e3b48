-- Records why no token came, so that no worker requests one for a while, and releases the lock;
-- in one step, or the next worker would send a request in between. The pause may be longer while
-- there is a token that is still good.
--
-- KEYS  token, lock, pause: as in token_take.lua
-- args  owner
--       why: JSON for the workers that find the pause
--       pause_ms, good_pause_ms: how long without and with a good token
-- Returns 1 if the owner still had the lock, else 0, and nothing is written
local token, lock, pause = KEYS[1], KEYS[2], KEYS[3]
if redis.call('GET', lock) ~= args.owner then
  return 0
end
local pause_ms = args.pause_ms
local left_ms = (tonumber(redis.call('HGET', token, 'ends_at') or '') or 0) - now_ms()
if left_ms > 0 then
  -- but not longer than that token
  pause_ms = math.max(pause_ms, math.min(args.good_pause_ms, left_ms))
end
write_when_full(token)
redis.call('SET', pause, args.why, 'PX', pause_ms)
redis.call('DEL', lock)
return 1
