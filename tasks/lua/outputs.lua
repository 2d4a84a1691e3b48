-- What there is to submit, read in one step. Returns 'gone', or 'frozen', run id and the
-- body that was claimed before, or 'open', run id, calls, then call id and output by index
-- (an empty output is one that is missing).
local run = KEYS[1]
if not is_open(run, ARGV[2]) then
  return {'gone'}
end
local at = redis.call('HMGET', run, 'run_id', 'body')
if at[2] then
  return {'frozen', at[1], at[2]}
end
local calls = number(run, 'calls')
local answer = {'open', at[1], calls}
for index = 0, calls - 1 do
  local pair = redis.call('HMGET', run, 'id:' .. index, 'output:' .. index)
  answer[#answer + 1] = pair[1]
  answer[#answer + 1] = pair[2] or ''
end
return answer
