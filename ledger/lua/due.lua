-- Hands due runs to a reconciler, each with its step. Claims by re-scoring: a run that was given out
-- is due again only after its step had time, so any number of reconcilers may call. A run that is due
-- for submission joins the send queue, scored by answer-by; those still inside it go first, nearest
-- first, then the late ones, oldest first. While it waits there a run stays due at its expiry, so
-- that no closed rate limit or open circuit can make that pass unseen.
--
-- A run is published again when its message is missing, and not when its queue is long: a queue
-- gives messages out in their order, so one is missing when its queue is empty, or has given out a
-- later one ('reached' of each queue). Messages of calls are missing, too, when nothing was taken
-- from their queue for a while: after a rollback no worker may read it. Runs that have no message
-- yet get theirs, the oldest first and replays last, while the queues hold fewer than so many.
--
-- KEYS: due, send queue, waiting, begun, unpublished
-- ARGV: prefix (of the runs' keys), look_at (runs at most), step_ms (until a run that was given out
--   is due again), senders, may_go (submissions at most), messages (in all queues together, at
--   most), replay_messages (in all queues, before another replay gets one), first_calls (of a run,
--   never in the third queue), unread_ms (a queue of calls from which nothing was taken for so long
--   counts as read by no worker), queues (how many are named), then the name and the length of each:
--   of runs, of calls, of further calls; none when the broker is down. Then the milliseconds between
--   two publishes of a run, by their count, the last for all further ones
-- Returns: for each run {key, run id, generation, 'publish' | 'submit' | 'expire', traceparent or '',
--   replays}
--- @include "run"
--- @include "missing"
local due, send_queue, waiting, begun, unpublished = unpack(KEYS)
local prefix, look_at, step_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local senders, may_go, messages = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local replay_messages, first_calls = tonumber(ARGV[7]), tonumber(ARGV[8])
local unread_ms, queues = tonumber(ARGV[9]), tonumber(ARGV[10])
local delays = {unpack(ARGV, 11 + 2 * queues)}
--- @include "free_write"
local now = now_ms()
local answer = {}

-- whether queue number 'place' has given out all that was put into it until this time
local function has_given_out(place, at)
  local name, length = ARGV[9 + 2 * place], tonumber(ARGV[10 + 2 * place])
  return length == 0 or at < number(begun, place == 1 and 'reached' or 'reached:' .. name)
end

-- when queue number 'place', of calls, counts as unread if nothing is taken from it until then
local function unread_at(place)
  return number(begun, 'taken:' .. ARGV[9 + 2 * place]) + unread_ms
end

-- the time of the next look at a run whose message waits, or those of its idle calls; nil when none
-- does
local function queued_until(key, run, idle)
  local at = redis.call('HMGET', run, 'state', 'generation', 'accepted_at', 'begun_at',
    'published_at')
  if at[1] == 'accepted' then
    local since = at[2] == '0' and at[3] or at[5] or 0
    if redis.call('ZSCORE', unpublished, key)
        or queues > 0 and not has_given_out(1, tonumber(since)) then
      return now + tonumber(delays[1])
    end
    return nil
  end
  for _, index in ipairs(idle) do
    if redis.call('HEXISTS', run, 'started_at:' .. index) == 1 then
      return nil -- its worker died, or returned it
    end
  end
  local begun_at = tonumber(at[4] or '') or 0
  local last = idle[#idle] < first_calls and math.min(2, queues) or queues
  for place = 2, last do
    local unread = math.max(begun_at + unread_ms, unread_at(place))
    if now < unread and not has_given_out(place, begun_at) then
      return unread
    end
  end
  return nil
end

local function need(key)
  local run = prefix .. key
  local at = redis.call('HMGET', run, 'state', 'answer_by', 'expires_at', 'calls', 'outputs',
    'lease_until', 'next_attempt_at', 'body', 'publishes')
  if not at[1] or at[1] == 'submitted' or at[1] == 'dead' then
    return 'forget'
  end
  local lease_until, next_at = tonumber(at[6] or '') or 0, tonumber(at[7] or '') or 0
  if lease_until > now then
    return 'wait', lease_until
  end
  if now >= tonumber(at[3]) then
    return 'expire'
  end
  if at[8] or at[4] == at[5] or now >= tonumber(at[2]) then
    if next_at > now then
      return 'wait', next_at
    end
    return 'submit'
  end
  local idle, next_look = missing(run, now)
  if #idle == 0 then
    return 'wait', math.min(next_look, tonumber(at[2]))
  end
  local waits_until = queued_until(key, run, idle)
  if waits_until then
    return 'wait', math.min(waits_until, next_look or math.huge, tonumber(at[2]))
  end
  -- the message is most likely lost; publishing again is harmless, and rarer each time
  local published = redis.call('HINCRBY', run, 'publishes', 1)
  local wait = tonumber(delays[math.min(published + 1, #delays)])
  return 'publish', math.min(now + wait, next_look or now + wait, tonumber(at[2]))
end

-- the run's timeline keeps its first steps: one that waits for a token is given out again and again
local function note_step(run, step)
  local number_of = redis.call('HINCRBY', run, 'steps', 1)
  if number_of <= 50 then
    redis.call('HSET', run, 'step:' .. number_of, step, 'step_at:' .. number_of, now)
  end
end

local function give_out(key, step, due_again_at)
  redis.call('ZADD', due, due_again_at, key)
  note_step(prefix .. key, step)
  local ids = redis.call('HMGET', prefix .. key, 'run_id', 'generation', 'traceparent', 'replays')
  answer[#answer + 1] = {key, ids[1], ids[2], step, ids[3] or '', ids[4] or '0'}
  if step == 'publish' and ids[2] ~= '0' then
    redis.call('HSET', prefix .. key, 'published_at', now) -- the others keep the order of acceptance
  end
end

for _, key in ipairs(redis.call('ZRANGE', due, '-inf', now, 'BYSCORE', 'LIMIT', 0, look_at)) do
  local run = prefix .. key
  local step, at = need(key)
  if step == 'submit' or step == 'expire' or step == 'forget' then -- it waits for no worker any more
    redis.call('ZREM', waiting, key)
    redis.call('ZREM', unpublished, key)
  end
  if step == 'forget' then
    redis.call('ZREM', due, key)
  elseif step == 'wait' then
    redis.call('ZADD', due, at, key)
  elseif step == 'submit' then
    redis.call('ZADD', send_queue, number(run, 'answer_by'), key)
    redis.call('ZADD', due, number(run, 'expires_at'), key)
  elseif step == 'publish' then
    give_out(key, step, at)
  elseif senders > 0 then -- else it stays due: another reconciler may have a sender free
    senders = senders - 1
    give_out(key, step, now + step_ms)
  end
end

-- runs of the send queue whose answer-by is in this range, nearest or oldest first
local function give_out_queued(from, to)
  while senders > 0 and may_go > 0 do
    local keys = redis.call('ZRANGE', send_queue, from, to, 'BYSCORE', 'LIMIT', 0,
      math.min(senders, may_go))
    if #keys == 0 then
      return
    end
    for _, key in ipairs(keys) do
      redis.call('ZREM', send_queue, key)
      if need(key) == 'submit' then -- else it has gone another way meanwhile
        senders, may_go = senders - 1, may_go - 1
        give_out(key, 'submit', now + step_ms)
      end
    end
  end
end

local function publish_first(room)
  while room > 0 do
    local key, score = unpack(redis.call('ZRANGE', unpublished, 0, 0, 'WITHSCORES'))
    -- a replay's score is above every time
    if not key or (tonumber(score) > now and messages - room >= replay_messages) then
      return
    end
    redis.call('ZREM', unpublished, key)
    local at = redis.call('HMGET', prefix .. key, 'state', 'answer_by')
    if at[1] == 'accepted' and now < tonumber(at[2]) then
      room = room - 1
      give_out(key, 'publish', math.min(now + tonumber(delays[1]), tonumber(at[2])))
    end
  end
end

give_out_queued('(' .. now, '+inf')
give_out_queued('-inf', now)
if queues > 0 then
  local room = messages
  for place = 1, queues do
    if place == 1 or now < unread_at(place) then -- what no worker reads stays, and holds up none
      room = room - tonumber(ARGV[10 + 2 * place])
    end
  end
  publish_first(room)
end
return answer
