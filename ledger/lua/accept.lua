-- Stores a run unless its key is there already. Atomic, so that fifty equal deliveries at once make
-- one run, and a run never exists without a due time. While the oldest run that no worker has begun
-- waits too long, or too many wait, no other is taken. So that the broker's queue stays short, a run
-- behind many others gets no message yet: it is left to a reconciler (due.lua).
--
-- KEYS: run, due, waiting, begun, unpublished, reconcilers
-- ARGV: key, run_id, digest, owner, answer_by_ms, expires_ms, first_look_ms, max_wait_ms,
--   max_waiting, messages (runs that wait with a message, at most), silent_ms (a reconciler that was
--   not seen for so long publishes nothing), up_ms (since the caller last found this ledger down, or
--   ''), context (a JSON object of source to value, or ''),
--   context_digests (one of source to digest), traceparent (of the delivery, or ''), then the fields
--   of the calls, names and values by turns, six of a call
-- Returns: 'accepted', 'unpublished' when it gets no message yet, 'duplicate', 'conflict', or the
--   seconds after which to try again
--- @include "run"
local run, due, waiting, begun, unpublished, reconcilers = unpack(KEYS)
local key, run_id, digest, owner = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local answer_by_ms, expires_ms, first_look_ms = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local max_wait_ms, max_waiting = tonumber(ARGV[8]), tonumber(ARGV[9])
local messages, silent_ms, up_ms = tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12])
local context, context_digests, traceparent, first_call = ARGV[13], ARGV[14], ARGV[15], 16
local prefix = string.sub(run, 1, #run - #key)

-- Milliseconds for which a run has waited, since it was accepted (a number, or a score as text) or this
-- ledger came back: while it was down no worker could begin the run.
local function waited_ms(accepted_at, now)
  return math.min(now - tonumber(accepted_at), up_ms or math.huge)
end

-- Returns how many waiting runs the queue has passed over, and when the next one was accepted. The
-- queue gives runs out in the order of acceptance. A run that still waits after a later one began has
-- lost its message, or its worker hangs: it waits for a reconciler and does not measure the queue.
-- Runs that ended without having begun are removed on the way.
local function next_in_line(reached)
  local passed = 0
  for _ = 1, 100 do
    local first = redis.call('ZRANGE', waiting, passed, passed, 'WITHSCORES')
    if not first[1] then
      return passed, nil
    elseif redis.call('HGET', prefix .. first[1], 'state') ~= 'accepted' then
      redis.call('ZREM', waiting, first[1])
    elseif tonumber(first[2]) > reached then
      return passed, tonumber(first[2])
    else
      passed = redis.call('ZCOUNT', waiting, '-inf', reached)
    end
  end
  return passed, nil
end

-- Whether the next run waits too long. If even the newest was accepted too long ago, one more run is
-- accepted as a probe: after a lost last message only a later run that begins can show that workers
-- take runs, and none would ever be accepted. Without any worker that is one run in each max_wait.
local function is_late(since, now)
  if not since or waited_ms(since, now) <= max_wait_ms then
    return false
  end
  local newest = redis.call('ZRANGE', waiting, -1, -1, 'WITHSCORES')
  return now - tonumber(newest[2]) <= max_wait_ms
end

-- Number of further begins, at_least or more, after which the run next in line has waited less than
-- max_wait_ms, although it ages meanwhile. Searched by doubling, then halving steps: where runs came
-- unevenly a smaller number may do for a moment, but the number found does.
local function begins_until_open(at_least, passed, now, ms_each)
  local function is_closed_after(begins)
    local at = passed + begins
    local next = redis.call('ZRANGE', waiting, at, at, 'WITHSCORES')
    return next[1] and begins * ms_each + waited_ms(next[2], now) > max_wait_ms
  end
  local closed, step = at_least - 1, 1
  while is_closed_after(closed + step) do
    closed = closed + step
    step = step * 2
  end
  local open = closed + step
  while open - closed > 1 do
    local between = math.floor((closed + open) / 2)
    if is_closed_after(between) then
      closed = between
    else
      open = between
    end
  end
  return open
end

-- Seconds, at the pace of begins in the last 10 to 20 s, until there is room and the next run is young
-- enough; without any begin, until answer-by ends the runs that wait. nil if a run is taken now.
local function retry_after_s(now)
  local oldest = redis.call('ZRANGE', waiting, 0, 0, 'WITHSCORES')
  local count = redis.call('ZCARD', waiting)
  if count == 0 or (count < max_waiting and waited_ms(oldest[2], now) <= max_wait_ms) then
    return nil -- checked first: nearly every call ends here
  end
  local period = math.floor(now / 10000)
  local lately = redis.call('HMGET', begun, 'reached', period, period - 1)
  local passed, since = next_in_line(tonumber(lately[1] or '') or 0)
  local excess = redis.call('ZCARD', waiting) - max_waiting + 1
  if excess <= 0 and not is_late(since, now) then
    return nil
  end
  local begins = (tonumber(lately[2] or '') or 0) + (tonumber(lately[3] or '') or 0)
  local retry_after_ms = answer_by_ms
  if begins > 0 then
    local ms_each = (now - (period - 1) * 10000) / begins
    retry_after_ms = math.min(retry_after_ms,
      ms_each * begins_until_open(math.max(1, excess), passed, now, ms_each))
  end
  return math.max(1, math.ceil(retry_after_ms / 1000))
end

-- Whether a source that both deliveries have differs. One alone has it while receivers learn of a
-- tool that binds it, or when the entry is of a release before: that is no difference.
local function differs(known_digests)
  local known = cjson.decode(known_digests)
  for source, value in pairs(cjson.decode(context_digests)) do
    if known[source] and known[source] ~= value then
      return true
    end
  end
  return false
end

local known = redis.call('HMGET', run, 'digest', 'accepted_by', 'bound_digests')
if known[1] then
  if known[1] ~= digest or (known[3] and differs(known[3])) then
    return 'conflict'
  end
  -- the same owner calls again when the reply to its first call was lost
  if known[2] ~= owner then
    return 'duplicate'
  end
  return redis.call('ZSCORE', unpublished, key) and 'unpublished' or 'accepted'
end
local now = now_ms()
local wait_s = retry_after_s(now)
if wait_s then
  return wait_s
end
redis.call('HSET', run, 'version', 1, 'run_id', run_id, 'digest', digest, 'state', 'accepted',
  'generation', 0, 'calls', (#ARGV - first_call + 1) / 6, 'outputs', 0, 'accepted_at', now,
  'accepted_by', owner, 'answer_by', now + answer_by_ms, 'expires_at', now + expires_ms,
  unpack(ARGV, first_call))
if traceparent ~= '' then
  redis.call('HSET', run, 'traceparent', traceparent)
end
if context ~= '' then
  redis.call('HSET', run, 'bound', context, 'bound_digests', context_digests)
end
redis.call('ZADD', due, now + first_look_ms, key)
local is_behind = redis.call('ZCARD', waiting) >= messages
  or redis.call('ZCOUNT', unpublished, '-inf', now) > 0 -- runs keep their order; replays are behind
local newest = redis.call('ZRANGE', waiting, -1, -1, 'WITHSCORES')
if newest[2] and now - tonumber(newest[2]) > max_wait_ms then
  is_behind = false -- let in to find out whether a worker is there (is_late): it needs a message
end
if is_behind and redis.call('ZCOUNT', reconcilers, now - silent_ms, '+inf') == 0 then
  is_behind = false -- workers alone answer a run; one of the ledger alone waits for a reconciler
end
redis.call('ZADD', waiting, now, key)
if is_behind then
  redis.call('ZADD', unpublished, now, key)
  return 'unpublished'
end
return 'accepted'
