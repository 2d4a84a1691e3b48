-- Health check: a script over the keys of accept whose write may need memory, and that changes
-- nothing. So it is refused as accept would be, by a replica, a full server, a cluster, and for
-- a user that may not use scripts or these keys.
--
-- KEYS: run, due, waiting, begun, unpublished, reconcilers
-- Returns: 0
return redis.call('ZADD', KEYS[2], 'XX', 0, '')
