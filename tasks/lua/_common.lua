-- Prepended to every script of this folder. One run is one hash; all times are
-- this server's, in milliseconds, so that no worker's clock is ever asked.
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function number(run, field)
  return tonumber(redis.call('HGET', run, field) or '') or 0
end

-- true while the run of this generation takes work: it exists and has not ended
local function is_open(run, generation)
  local at = redis.call('HMGET', run, 'state', 'generation')
  return at[1] and at[1] ~= 'submitted' and at[1] ~= 'dead' and at[2] == generation
end

-- the moment the next missing call should be looked at, and which calls nobody has in hand
local function missing(run, now)
  local next_look, idle = nil, {}
  for index = 0, number(run, 'calls') - 1 do
    if redis.call('HEXISTS', run, 'output:' .. index) == 0 then
      local at = redis.call('HMGET', run, 'queued_until:' .. index, 'busy_until:' .. index)
      local until_ms = math.max(tonumber(at[1] or '') or 0, tonumber(at[2] or '') or 0)
      if until_ms <= now then
        idle[#idle + 1] = index
      elseif not next_look or until_ms < next_look then
        next_look = until_ms
      end
    end
  end
  return idle, next_look
end

-- how the current attempt ended: name and value, from ARGV[first] on
local function write_outcome(run, first)
  local attempt = number(run, 'attempts')
  for at = first, #ARGV, 2 do
    redis.call('HSET', run, 'attempt_' .. ARGV[at] .. ':' .. attempt, ARGV[at + 1])
  end
end
