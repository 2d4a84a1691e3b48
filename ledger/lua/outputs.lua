-- Reads the outputs of a run, and its frozen body if it has one.
--
-- KEYS: run
-- ARGV: generation
-- Returns: {'gone'}; {'frozen', run id, body, traceparent or '', replays} when a body was claimed
--   before; or {'open', run id, {call ids and outputs by turns, in call order; an empty output is
--   missing}, traceparent or '', replays}
--- @include "run"
local run, generation = KEYS[1], ARGV[1]
if not is_open(run, generation) then
  return {'gone'}
end
local at = redis.call('HMGET', run, 'run_id', 'body', 'traceparent', 'replays')
if at[2] then
  return {'frozen', at[1], at[2], at[3] or '', at[4] or '0'}
end
local pairs = {}
for index = 0, number(run, 'calls') - 1 do
  local pair = redis.call('HMGET', run, 'id:' .. index, 'output:' .. index)
  pairs[#pairs + 1] = pair[1]
  pairs[#pairs + 1] = pair[2] or ''
end
return {'open', at[1], pairs, at[3] or '', at[4] or '0'}
