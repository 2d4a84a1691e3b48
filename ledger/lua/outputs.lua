-- Reads the outputs of a run, and its frozen body if it has one.
--
-- KEYS: run
-- ARGV: generation
-- Returns: {'gone'}; {'frozen', run id, body, traceparent or '', replays} when a body was claimed
--   before; or {'open', run id, {call ids, outputs and the times of their first start by turns, in
--   call order; empty where there is none}, traceparent or '', replays}
--- @include "run"
local run, generation = KEYS[1], ARGV[1]
if not is_open(run, generation) then
  return {'gone'}
end
local at = redis.call('HMGET', run, 'run_id', 'body', 'traceparent', 'replays')
if at[2] then
  return {'frozen', at[1], at[2], at[3] or '', at[4] or '0'}
end
local calls = {}
for index = 0, number(run, 'calls') - 1 do
  local call = redis.call('HMGET', run, 'id:' .. index, 'output:' .. index, 'started_at:' .. index)
  for at = 1, 3 do calls[#calls + 1] = call[at] or '' end
end
return {'open', at[1], calls, at[3] or '', at[4] or '0'}
