-- Takes back a right to POST that was not used. The newest place goes, whoever's it is: they
-- differ by milliseconds. One step, so that the place and the probe are free at once.
local window, gate = KEYS[1], KEYS[2]
redis.call('RPOP', window)
redis.call('HDEL', gate, 'probe_until')
return 1
