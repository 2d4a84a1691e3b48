-- Helpers of all steps: time, fields and state of a run, which is one hash. All times are this
-- server's, in milliseconds, so that the clocks of workers play no part.
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function number(run, field)
  return tonumber(redis.call('HGET', run, field) or '') or 0
end

-- true while the run of this generation takes steps: it exists and has not ended
local function is_open(run, generation)
  local at = redis.call('HMGET', run, 'state', 'generation')
  return at[1] and at[1] ~= 'submitted' and at[1] ~= 'dead' and at[2] == generation
end

-- true while it also takes outputs: no body is frozen yet
local function takes_outputs(run, generation)
  return is_open(run, generation) and redis.call('HEXISTS', run, 'body') == 0
end
