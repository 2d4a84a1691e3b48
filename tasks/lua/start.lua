-- Gives a call to one worker and counts the try before the work begins, so that a
-- call that kills its worker is known by its tries. Atomic: one holder at a time.
-- Returns 'gone', 'recorded', 'in_hand', 'late', 'poison', or
-- 'started', try, milliseconds left, tool name, arguments, tool call id.
local run = KEYS[1]
local generation, index, holder = ARGV[2], ARGV[3], ARGV[4]
local default_ms, special, margin_ms = tonumber(ARGV[5]), cjson.decode(ARGV[6]), tonumber(ARGV[7])
local max_tries, may_take_over = tonumber(ARGV[8]), ARGV[9] == '1'
if not is_open(run, generation) or redis.call('HEXISTS', run, 'body') == 1 then
  return {'gone'}
end
if redis.call('HEXISTS', run, 'output:' .. index) == 1 then
  return {'recorded'}
end
local now = now_ms()
local left_ms = number(run, 'answer_by') - margin_ms - now
if left_ms <= 0 then
  return {'late'}
end
local at = redis.call('HMGET', run, 'name:' .. index, 'arguments:' .. index, 'holder:' .. index,
  'id:' .. index)
-- the same holder asks twice when the answer to its first question was lost on the way
if at[3] ~= holder then
  if not may_take_over and number(run, 'busy_until:' .. index) > now then
    return {'in_hand'}
  end
  if number(run, 'tries:' .. index) >= max_tries then
    return {'poison'}
  end
  redis.call('HINCRBY', run, 'tries:' .. index, 1)
  redis.call('HSETNX', run, 'started_at:' .. index, now)
end
redis.call('HSET', run, 'holder:' .. index, holder,
  'busy_until:' .. index, now + (special[at[1]] or default_ms) + margin_ms)
return {'started', number(run, 'tries:' .. index), left_ms, at[1], at[2], at[4]}
