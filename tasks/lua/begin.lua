-- Begins a run, or learns what is left of it. Atomic, so that of two fan-outs the
-- second gets only the calls that are missing and that nobody has in hand. With a message to
-- work on, its worker is given one call at once; of the others, so many are fanned out; quick
-- ones behind a quick one are spare, as are those that are too many: for whoever has done with one. Where the broker is
-- this Redis, their messages go into its queue in the same step.
-- Returns 'gone', or 'begun', round, calls, outputs, milliseconds from acceptance if it is the
-- first begin of the run (else -1), the call given (empty if none), and the indexes to fan out.
local run, due, waiting, begun = KEYS[1], KEYS[2], KEYS[4], KEYS[5]
local key, generation, at_once, by = ARGV[1], ARGV[2], tonumber(ARGV[3]), asker(4)
local delays, quick = {}, cjson.decode(ARGV[11])
local queue, message = ARGV[12], ARGV[13]
for at = 14, #ARGV do delays[#delays + 1] = tonumber(ARGV[at]) end
if not is_open(run, generation) or redis.call('HEXISTS', run, 'body') == 1 then
  return {'gone'}
end
local now = now_ms()
-- asked twice, because the first answer was lost on the way: what it gave is nobody's
local before = redis.call('HMGET', run, 'begun_by', 'begun_until')
local is_repeat = by.message ~= '' and before[1] == by.holder
local idle, next_look = missing(run, now, is_repeat and before[2])
local round = number(run, 'round')
local taken = nil
if by.message ~= '' then
  taken = take_again(run, now, by) or (idle[1] and take(run, idle[1], now, by))
end
if taken then
  for at, index in ipairs(idle) do
    if index == taken[2] then
      table.remove(idle, at)
      break
    end
  end
  local until_ms = number(run, 'busy_until:' .. taken[2])
  next_look = math.min(next_look or until_ms, until_ms)
end
if taken or #idle > 0 then
  round = redis.call('HINCRBY', run, 'round', 1)
end
local fanned_out, spare, is_idle = {}, {}, {}
if #idle > 0 then
  local until_ms = now + delays[math.min(round, #delays)]
  -- behind the last that was fanned out or taken; behind one that is not quick none is spare
  local spared = taken and quick[taken[5]] and 0 or math.huge
  for _, index in ipairs(idle) do
    is_idle[tostring(index)] = true
    redis.call('HSET', run, 'queued_until:' .. index, until_ms)
    local may_follow = quick[redis.call('HGET', run, 'name:' .. index)]
    if #fanned_out < at_once and spared >= (may_follow or 0) then
      fanned_out[#fanned_out + 1] = index
      spared = may_follow and 0 or math.huge
    else
      spare[#spare + 1] = index
      spared = spared + 1
    end
  end
  -- what was spare before and is not idle yet: workers of an earlier fan-out go on with it
  for index in string.gmatch(redis.call('HGET', run, 'spare') or '', '%d+') do
    if not is_idle[index] then
      spare[#spare + 1] = index
    end
  end
  redis.call('HSET', run, 'spare', table.concat(spare, ','),
    'begun_by', by.holder, 'begun_until', until_ms)
  next_look = math.min(next_look or until_ms, until_ms)
  if queue ~= '' and #fanned_out > 0 then
    local of_round, messages = string.gsub(message, '\1', round), {}
    for at, index in ipairs(fanned_out) do
      messages[at] = string.gsub(of_round, '\2', index)
    end
    redis.call('LPUSH', queue, unpack(messages))
  end
end
local waited_ms = -1
if redis.call('HGET', run, 'state') == 'accepted' then
  if generation == '0' then
    local accepted_at = number(run, 'accepted_at')
    waited_ms = now - accepted_at
    if accepted_at > number(begun, 'reached') then -- the queue has come as far as this run
      redis.call('HSET', begun, 'reached', accepted_at)
    end
  end
  redis.call('HSET', run, 'state', 'running', 'begun_at', now)
  redis.call('ZREM', waiting, key)
  -- how many begin in each 10 s, so that a sender who is turned away is told how long
  local period = math.floor(now / 10000)
  if redis.call('HINCRBY', begun, period, 1) == 1 then
    for _, field in ipairs(redis.call('HKEYS', begun)) do
      if (tonumber(field) or period) < period - 1 then
        redis.call('HDEL', begun, field)
      end
    end
    redis.call('EXPIRE', begun, 86400) -- 'reached' is for the first delivery after a quiet night
  end
end
if next_look then
  redis.call('ZADD', due, math.min(next_look, number(run, 'answer_by')), key)
end
return {'begun', round, number(run, 'calls'), number(run, 'outputs'), waited_ms, taken or {},
  unpack(fanned_out)}
