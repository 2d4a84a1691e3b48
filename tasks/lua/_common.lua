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

-- the moment the next missing call should be looked at, and which calls nobody has in hand; those
-- queued until just 'again' count as not queued
local function missing(run, now, again)
  local next_look, idle = nil, {}
  for index = 0, number(run, 'calls') - 1 do
    if redis.call('HEXISTS', run, 'output:' .. index) == 0 then
      local at = redis.call('HMGET', run, 'queued_until:' .. index, 'busy_until:' .. index)
      local queued_until = at[1] ~= again and tonumber(at[1] or '') or 0
      local until_ms = math.max(queued_until, tonumber(at[2] or '') or 0)
      if until_ms <= now then
        idle[#idle + 1] = index
      elseif not next_look or until_ms < next_look then
        next_look = until_ms
      end
    end
  end
  return idle, next_look
end

-- who asks for a call, from ARGV[first] on: the holder to be, the message that it works on, and
-- what a call may take
local function asker(first)
  return {
    holder = ARGV[first], message = ARGV[first + 1], default_ms = tonumber(ARGV[first + 2]),
    special = cjson.decode(ARGV[first + 3]), margin_ms = tonumber(ARGV[first + 4]),
    max_tries = tonumber(ARGV[first + 5]), may_take_over = ARGV[first + 6] == '1'
  }
end

-- Gives a call to one worker and counts the try before the work begins, so that a call that kills
-- its worker is known by its tries. nil when too little time is left for it.
local function take(run, index, now, by)
  local left_ms = number(run, 'answer_by') - by.margin_ms - now
  if left_ms <= 0 then
    return nil
  end
  local at = redis.call('HMGET', run, 'name:' .. index, 'arguments:' .. index, 'id:' .. index,
    'holder:' .. index, 'tries:' .. index, 'is_poison:' .. index)
  local word, tries = 'started', tonumber(at[5] or '') or 0
  -- the same holder asks twice when the answer to its first question was lost on the way; what it
  -- was told, poison included, it is told again
  local is_repeat = at[4] == by.holder
  if at[6] or (tries >= by.max_tries and not is_repeat) then
    word = 'poison'
    redis.call('HSET', run, 'is_poison:' .. index, 1)
  elseif not is_repeat then
    tries = redis.call('HINCRBY', run, 'tries:' .. index, 1)
    redis.call('HSETNX', run, 'started_at:' .. index, now)
  end
  redis.call('HSET', run, 'holder:' .. index, by.holder, 'message:' .. index, by.message,
    'busy_until:' .. index, now + (by.special[at[1]] or by.default_ms) + by.margin_ms)
  return {word, index, tries, left_ms, at[1], at[2], at[3]}
end

-- the call that this message has, or had in an earlier life whose process died
local function take_again(run, now, by)
  for index = 0, number(run, 'calls') - 1 do
    local at = redis.call('HMGET', run, 'output:' .. index, 'message:' .. index, 'holder:' .. index)
    if not at[1] and at[2] == by.message and (by.may_take_over or at[3] == by.holder) then
      return take(run, index, now, by)
    end
  end
end

-- call ids and outputs by turns, in call order; an empty output is one that is missing
local function outputs_of(run)
  local pairs = {}
  for index = 0, number(run, 'calls') - 1 do
    local pair = redis.call('HMGET', run, 'id:' .. index, 'output:' .. index)
    pairs[#pairs + 1] = pair[1]
    pairs[#pairs + 1] = pair[2] or ''
  end
  return pairs
end

-- how the current attempt ended: name and value, from ARGV[first] on
local function write_outcome(run, first)
  local attempt = number(run, 'attempts')
  for at = first, #ARGV, 2 do
    redis.call('HSET', run, 'attempt_' .. ARGV[at] .. ':' .. attempt, ARGV[at + 1])
  end
end
