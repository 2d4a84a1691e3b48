-- Keeps what Genesys said is left of its rate limit, for dashboards; no POST waits for it.
--
-- KEYS  gate: as in acquire.lua
-- args  remaining: requests, as X-RateLimit-Remaining has them
--       keep_ms: as in record.lua
-- Returns 'kept'
local gate = KEYS[1]
write_when_full(gate)
redis.call('HSET', gate, 'remaining', args.remaining, 'remaining_at', now_ms())
redis.call('PEXPIRE', gate, args.keep_ms)
return 'kept'
