-- Leases a call to one worker and counts the try before the work begins, so that a call that kills
-- its workers is known by its tries. A message that comes back from a dead process takes over the
-- lease that it held; any other finds the call leased.
--
-- KEYS: run, due, begun
-- ARGV: generation, index, owner, message (the task id under which the call is worked on), queue
--   (that the message came from; empty for a call behind its fan-out), may_take_over (0 or 1),
--   default_ms and special (what a call may take, and a JSON object of the
--   tools that differ), margin_ms (kept free before answer-by and after a call's own time),
--   max_tries
-- Returns: {'started' or 'poison', tries, milliseconds left for the output, tool name, arguments,
--   call id, context or nothing, traceparent or '', replays}; {'recorded', outputs missing}; or
--   {'gone'}, {'leased'}, {'late'}
--- @include "run"
local run, due, begun = KEYS[1], KEYS[2], KEYS[3]
local generation, index, owner, message, queue = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local may_take_over, default_ms = ARGV[6], tonumber(ARGV[7])
local special, margin_ms = cjson.decode(ARGV[8]), tonumber(ARGV[9])
local max_tries = tonumber(ARGV[10])
--- @include "free_write"
local now = now_ms()
if queue ~= '' then
  redis.call('HSET', begun, 'taken:' .. queue, now) -- see due.lua
end
if not takes_outputs(run, generation) then
  return {'gone'}
elseif redis.call('HEXISTS', run, 'output:' .. index) == 1 then
  return {'recorded', number(run, 'calls') - number(run, 'outputs')}
end
if queue ~= '' and number(run, 'begun_at') > number(begun, 'reached:' .. queue) then
  redis.call('HSET', begun, 'reached:' .. queue, number(run, 'begun_at')) -- see due.lua
end
local at = redis.call('HMGET', run, 'name:' .. index, 'arguments:' .. index, 'id:' .. index,
  'holder:' .. index, 'busy_until:' .. index, 'message:' .. index, 'tries:' .. index,
  'is_poison:' .. index, 'bound', 'traceparent', 'replays')
-- the same owner calls again when the reply to its first call was lost
local is_repeat = at[4] == owner
local takes_over = may_take_over == '1' and at[6] == message
if (tonumber(at[5] or '') or 0) > now and not is_repeat and not takes_over then
  return {'leased'}
end
local left_ms = number(run, 'answer_by') - margin_ms - now
if left_ms <= 0 then
  return {'late'}
end
local word, tries = 'started', tonumber(at[7] or '') or 0
if at[8] or (tries >= max_tries and not is_repeat) then
  word = 'poison'
  redis.call('HSET', run, 'is_poison:' .. index, 1)
elseif not is_repeat then
  tries = redis.call('HINCRBY', run, 'tries:' .. index, 1)
  if redis.call('HSETNX', run, 'started_at:' .. index, now) == 0 then
    -- of further tries, which are rare, each has its own time
    redis.call('HSET', run, 'try_at:' .. index .. ':' .. tries, now)
  end
end
redis.call('HSET', run, 'holder:' .. index, owner, 'message:' .. index, message,
  'busy_until:' .. index, now + (special[at[1]] or default_ms) + margin_ms)
return {word, tries, left_ms, at[1], at[2], at[3], at[9] or '', at[10] or '', at[11] or '0'}
