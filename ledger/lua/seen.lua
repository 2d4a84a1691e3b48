-- Records a reconciler's heartbeat by this server's clock, and removes those not seen for keep_ms.
--
-- KEYS: reconcilers, due
-- ARGV: name (host:pid of the process), keep_ms
-- Returns: 1
--- @include "run"
local reconcilers, due = KEYS[1], KEYS[2]
--- @include "free_write"
local now = now_ms()
redis.call('ZADD', reconcilers, now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', reconcilers, '-inf', now - tonumber(ARGV[2]))
return 1
