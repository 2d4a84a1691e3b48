-- Writes down how the current attempt ended: names and values by turns, from ARGV[first] on.
local function write_outcome(run, first)
  local attempt = number(run, 'attempts')
  for at = first, #ARGV, 2 do
    redis.call('HSET', run, 'attempt_' .. ARGV[at] .. ':' .. attempt, ARGV[at + 1])
  end
end
