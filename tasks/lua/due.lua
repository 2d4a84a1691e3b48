-- Takes runs that need a step, and says which. Claims by re-scoring: a run that was handed out
-- is due again only after its step had time, so any number of reconcilers may ask. A run that is
-- due for submission joins the line of those that wait for their turn, scored by answer-by; those
-- still inside it go first, nearest first, then the late ones, oldest first. While it waits there
-- a run stays due at its expiry, so that no closed gate can make that pass unseen.
-- Returns, for each: key, run id, generation, 'publish' | 'submit' | 'expire'.
local due, turns, prefix = KEYS[2], KEYS[6], ARGV[2]
local look_at, step_ms = tonumber(ARGV[3]), tonumber(ARGV[4])
local senders, may_go = tonumber(ARGV[5]), tonumber(ARGV[6])
local delays = {}
for at = 7, #ARGV do delays[#delays + 1] = tonumber(ARGV[at]) end
local now = now_ms()
local answer = {}

local function need(run)
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
  -- the message is lost or the queue is long; once more is harmless, and rarer each time
  local published = redis.call('HINCRBY', run, 'publishes', 1)
  local wait = delays[math.min(published + 1, #delays)]
  return 'publish', math.min(now + wait, next_look or now + wait, tonumber(at[2]))
end

local function hand_out(key, step, due_again_at)
  redis.call('ZADD', due, due_again_at, key)
  local ids = redis.call('HMGET', prefix .. key, 'run_id', 'generation')
  answer[#answer + 1] = {key, ids[1], ids[2], step}
end

for _, key in ipairs(redis.call('ZRANGE', due, '-inf', now, 'BYSCORE', 'LIMIT', 0, look_at)) do
  local run = prefix .. key
  local step, at = need(run)
  if step == 'forget' then
    redis.call('ZREM', due, key)
  elseif step == 'wait' then
    redis.call('ZADD', due, at, key)
  elseif step == 'submit' then
    redis.call('ZADD', turns, number(run, 'answer_by'), key)
    redis.call('ZADD', due, number(run, 'expires_at'), key)
  elseif step == 'publish' then
    hand_out(key, step, at)
  elseif senders > 0 then -- else it stays due: another reconciler may have a sender free
    senders = senders - 1
    hand_out(key, step, now + step_ms)
  end
end

-- runs of the line whose answer-by is in this range, nearest or oldest first
local function take_turns(from, to)
  while senders > 0 and may_go > 0 do
    local keys = redis.call('ZRANGE', turns, from, to, 'BYSCORE', 'LIMIT', 0,
      math.min(senders, may_go))
    if #keys == 0 then
      return
    end
    for _, key in ipairs(keys) do
      redis.call('ZREM', turns, key)
      if need(prefix .. key) == 'submit' then -- else it has gone another way meanwhile
        senders, may_go = senders - 1, may_go - 1
        hand_out(key, 'submit', now + step_ms)
      end
    end
  end
end

take_turns('(' .. now, '+inf')
take_turns('-inf', now)
return answer
