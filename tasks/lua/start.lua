-- Gives the call of a message to one worker; after the death of an earlier one, the call that it
-- had in hand, which may be one that it went on with.
-- Returns 'gone', 'recorded', 'in_hand', 'late', or
-- 'started' or 'poison', index, tries, milliseconds left, tool name, arguments, tool call id.
local run = KEYS[1]
local generation, index, by = ARGV[2], tonumber(ARGV[3]), asker(4)
if not is_open(run, generation) or redis.call('HEXISTS', run, 'body') == 1 then
  return {'gone'}
end
local now = now_ms()
local taken = take_again(run, now, by)
if taken then
  return taken
elseif redis.call('HEXISTS', run, 'output:' .. index) == 1 then
  return {'recorded'}
elseif number(run, 'busy_until:' .. index) > now then
  return {'in_hand'}
end
return take(run, index, now, by) or {'late'}
