-- A write that changes nothing and needs no memory. A Redis whose memory is used up refuses a
-- script's first write if it may need some, and no later one. (`flags=allow-oom` is not known to
-- Redis 6.2.) The steps of runs that were accepted go on; only those that bring a run in are
-- refused.
redis.call('ZREM', due, '')
