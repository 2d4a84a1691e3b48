-- Returns the place of a POST that was not sent. The newest place goes, although another worker
-- may have taken it: they differ by milliseconds. One step, so that place and probe are free at
-- once.
--
-- KEYS  window, gate: as in acquire.lua
-- args  none
-- Returns 1
local window, gate = KEYS[1], KEYS[2]
redis.call('RPOP', window)
redis.call('HDEL', gate, 'probe_until')
return 1
