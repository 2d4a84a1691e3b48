-- Begins a run, or learns what is left of it. Atomic, so that of two fan-outs the
-- second gets only the calls that are missing and that nobody has in hand.
-- Returns 'gone', or 'begun', round, calls, outputs, milliseconds from acceptance if it is the
-- first begin of the run (else -1), then the indexes to fan out.
local run, due, waiting, begun = KEYS[1], KEYS[2], KEYS[4], KEYS[5]
local key, generation, delays = ARGV[1], ARGV[2], {}
for at = 3, #ARGV do delays[#delays + 1] = tonumber(ARGV[at]) end
if not is_open(run, generation) or redis.call('HEXISTS', run, 'body') == 1 then
  return {'gone'}
end
local now = now_ms()
local idle, next_look = missing(run, now)
local round = number(run, 'round')
if #idle > 0 then
  round = redis.call('HINCRBY', run, 'round', 1)
  local until_ms = now + delays[math.min(round, #delays)]
  for _, index in ipairs(idle) do
    redis.call('HSET', run, 'queued_until:' .. index, until_ms)
  end
  next_look = math.min(next_look or until_ms, until_ms)
end
local waited_ms = -1
if redis.call('HGET', run, 'state') == 'accepted' then
  if generation == '0' then
    waited_ms = now - number(run, 'accepted_at')
  end
  redis.call('HSET', run, 'state', 'running', 'begun_at', now)
  redis.call('ZREM', waiting, key)
  -- how many begin in each 10 s, so that a sender who is turned away is told how long
  local period = math.floor(now / 10000)
  if redis.call('HINCRBY', begun, period, 1) == 1 then
    redis.call('HDEL', begun, period - 2, period - 3)
    redis.call('EXPIRE', begun, 60)
  end
end
if next_look then
  redis.call('ZADD', due, math.min(next_look, number(run, 'answer_by')), key)
end
return {'begun', round, number(run, 'calls'), number(run, 'outputs'), waited_ms, unpack(idle)}
