-- Begins a run, or goes on with what is left of it: gives out the calls that are missing, and
-- counts them as queued for a while. Atomic, so that of two fan-outs the second gets only what the
-- first did not. A fan-out that comes back from a dead process gets all that it had; one that comes
-- when no call can end in time gets none.
--
-- KEYS: run, due, waiting, begun
-- ARGV: key, generation, owner, message (the task id of the fan-out), may_take_over (0 or 1),
--   margin_ms (kept free before answer-by), then the milliseconds for which calls count as queued,
--   by round, the last for all further ones
-- Returns: {'gone'}, or {'begun', round, calls, outputs, milliseconds since acceptance if this is
--   the first begin of the run (else -1), indexes of the missing calls ...}
--- @include "run"
--- @include "missing"
local run, due, waiting, begun = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local key, generation, owner, message, may_take_over = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local margin_ms, delays = tonumber(ARGV[6]), {unpack(ARGV, 7)}
--- @include "free_write"

-- what the dead process of this message had: the call it worked on, and those it may not have sent
local function take_over()
  for index = 0, number(run, 'calls') - 1 do
    local at = redis.call('HMGET', run, 'message:' .. index, 'holder:' .. index)
    if at[1] == message then
      redis.call('HDEL', run, 'holder:' .. index, 'message:' .. index, 'busy_until:' .. index)
    end
    if at[1] == message or not at[2] then
      redis.call('HDEL', run, 'queued_until:' .. index)
    end
  end
end

-- the first begin of a generation: leave the line of those that wait for a worker, and count how
-- many begin in each 10 s, from which 'accept' works out a Retry-After
local function count_begin(now)
  local since = number(run, generation == '0' and 'accepted_at' or 'published_at')
  local waited_ms = generation == '0' and now - since or -1
  if since > number(begun, 'reached') then -- the queue has come as far as this run
    redis.call('HSET', begun, 'reached', since)
  end
  redis.call('HSET', run, 'state', 'running', 'begun_at', now)
  redis.call('ZREM', waiting, key)
  local period = math.floor(now / 10000)
  if redis.call('HINCRBY', begun, period, 1) == 1 then
    for _, field in ipairs(redis.call('HKEYS', begun)) do
      if (tonumber(field) or period) < period - 1 then
        redis.call('HDEL', begun, field)
      end
    end
    redis.call('EXPIRE', begun, 86400) -- 'reached' is for the first delivery after a quiet night
  end
  return waited_ms
end

if not takes_outputs(run, generation) then
  return {'gone'}
end
local now = now_ms()
if may_take_over == '1' then
  take_over()
end
-- called again by the same owner, because the first reply was lost: the calls that it gave out were not published
local before = redis.call('HMGET', run, 'begun_by', 'begun_until')
local idle, next_look = missing(run, now, before[1] == owner and before[2])
if now >= number(run, 'answer_by') - margin_ms then
  idle = {}
end
local round = number(run, 'round')
if #idle > 0 then
  round = redis.call('HINCRBY', run, 'round', 1)
  local until_ms = now + tonumber(delays[math.min(round, #delays)])
  for _, index in ipairs(idle) do
    redis.call('HSET', run, 'queued_until:' .. index, until_ms)
  end
  redis.call('HSET', run, 'begun_by', owner, 'begun_until', until_ms)
  next_look = math.min(next_look or until_ms, until_ms)
end
local waited_ms = -1
if redis.call('HGET', run, 'state') == 'accepted' then
  waited_ms = count_begin(now)
end
if next_look then
  redis.call('ZADD', due, math.min(next_look, number(run, 'answer_by')), key)
end
return {'begun', round, number(run, 'calls'), number(run, 'outputs'), waited_ms, unpack(idle)}
