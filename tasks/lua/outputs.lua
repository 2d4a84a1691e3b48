-- What there is to submit, read in one step. Returns 'gone', or 'frozen', run id and the
-- body that was claimed before, or 'open', run id, and call ids and outputs by turns.
local run = KEYS[1]
if not is_open(run, ARGV[2]) then
  return {'gone'}
end
local at = redis.call('HMGET', run, 'run_id', 'body')
if at[2] then
  return {'frozen', at[1], at[2]}
end
return {'open', at[1], outputs_of(run)}
