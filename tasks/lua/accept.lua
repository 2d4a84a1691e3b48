-- Stores a run unless its key is there already. Atomic, so that fifty equal
-- deliveries at once make one run, and a run never exists without a due time.
-- Returns 'accepted', 'duplicate', 'conflict', or how many seconds to stay away: while the
-- oldest run that nobody has begun waits too long, or too many wait, no other is taken.
-- Where the broker is this Redis, the run's message goes into its queue in the same step.
-- From ARGV[11] on stand the calls' fields, a name and a value by turns, six of a call.
local run, due, waiting, begun = KEYS[1], KEYS[2], KEYS[4], KEYS[5]
local key, run_id, digest = ARGV[1], ARGV[2], ARGV[3]
local answer_by_ms, expires_ms, first_look_ms = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local max_wait_ms, max_waiting = tonumber(ARGV[7]), tonumber(ARGV[8])
local queue, message, first_call = ARGV[9], ARGV[10], 11
local unlooked_ms = 5000 -- a reconciler looks at what is due each half second

-- how long the oldest run waits; those that ended without having begun are forgotten on the way.
-- One whose message was lost waits for a reconciler, and says nothing of the workers: when no
-- reconciler has looked at it, it does not count.
local function oldest_wait_ms(now)
  for _ = 1, 10 do
    local first = redis.call('ZRANGE', waiting, 0, 9, 'WITHSCORES')
    local forgotten = 0
    for at = 1, #first, 2 do
      local other = string.sub(run, 1, #run - #key) .. first[at]
      if redis.call('HGET', other, 'state') ~= 'accepted' then
        redis.call('ZREM', waiting, first[at])
        forgotten = forgotten + 1
      elseif now - tonumber(redis.call('ZSCORE', due, first[at]) or now) < unlooked_ms then
        return now - tonumber(first[at + 1])
      end
    end
    if forgotten == 0 then
      return 0
    end
  end
  return 0
end

-- how long those that are too many or too old will take to begin, at the pace of the last 10
-- to 20 s; without a pace, until they have been answered all the same
local function stay_away_s(now)
  local oldest = redis.call('ZRANGE', waiting, 0, 0, 'WITHSCORES')
  local count = redis.call('ZCARD', waiting)
  if count == 0 or (count < max_waiting and now - tonumber(oldest[2]) <= max_wait_ms) then
    return nil -- before any other question: nearly always this is all
  end
  local is_late = oldest_wait_ms(now) > max_wait_ms
  local excess = redis.call('ZCARD', waiting) - max_waiting + 1
  if not is_late and excess <= 0 then
    return nil
  end
  excess = math.max(excess, redis.call('ZCOUNT', waiting, '-inf', now - max_wait_ms))
  local period = math.floor(now / 10000)
  local counts = redis.call('HMGET', begun, period, period - 1)
  local count = (tonumber(counts[1] or '') or 0) + (tonumber(counts[2] or '') or 0)
  local away_ms = answer_by_ms
  if count > 0 then
    away_ms = math.min(away_ms, excess * (now - (period - 1) * 10000) / count)
  end
  return math.max(1, math.ceil(away_ms / 1000))
end

local known = redis.call('HGET', run, 'digest')
if known then
  return known == digest and 'duplicate' or 'conflict'
end
local now = now_ms()
local away_s = stay_away_s(now)
if away_s then
  return away_s
end
redis.call('HSET', run, 'version', 1, 'run_id', run_id, 'digest', digest, 'state', 'accepted',
  'generation', 0, 'calls', (#ARGV - first_call + 1) / 6, 'outputs', 0, 'accepted_at', now,
  'answer_by', now + answer_by_ms, 'expires_at', now + expires_ms, unpack(ARGV, first_call))
redis.call('ZADD', due, now + first_look_ms, key)
redis.call('ZADD', waiting, now, key)
if queue ~= '' then
  redis.call('LPUSH', queue, message)
end
return 'accepted'
