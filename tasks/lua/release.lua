-- Gives a call back that could not be answered for now, without counting the try, and makes
-- it due again. Returns 'gone', 'late' when no time is left for another try, or 'released'.
local run, due = KEYS[1], KEYS[2]
local key, generation, index, holder = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local delay_ms, margin_ms = tonumber(ARGV[5]), tonumber(ARGV[6])
if not is_open(run, generation) or redis.call('HGET', run, 'holder:' .. index) ~= holder then
  return 'gone'
end
local again_at = now_ms() + delay_ms
if again_at >= number(run, 'answer_by') - margin_ms then
  return 'late'
end
redis.call('HDEL', run, 'holder:' .. index, 'message:' .. index, 'busy_until:' .. index)
redis.call('HSET', run, 'queued_until:' .. index, again_at)
redis.call('HINCRBY', run, 'tries:' .. index, -1)
redis.call('ZADD', due, 'LT', again_at, key)
return 'released'
