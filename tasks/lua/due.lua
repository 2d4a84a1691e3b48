-- Takes runs that are due, and says what each needs. Claims by re-scoring: a run that was
-- handed out is due again only after its step had time, so any number of reconcilers may ask.
-- What needs a sender is handed out only while the asker has one free.
-- Returns, for each: key, run id, generation, 'publish' | 'submit' | 'expire'.
local due, prefix = KEYS[2], ARGV[2]
local look_at, step_ms, senders = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local delays = {}
for at = 6, #ARGV do delays[#delays + 1] = tonumber(ARGV[at]) end
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

for _, key in ipairs(redis.call('ZRANGE', due, '-inf', now, 'BYSCORE', 'LIMIT', 0, look_at)) do
  local run = prefix .. key
  local step, at = need(run)
  if step == 'forget' then
    redis.call('ZREM', due, key)
  elseif (step == 'submit' or step == 'expire') and senders == 0 then
    -- stays due: another reconciler may have a sender free
  else
    if step == 'submit' or step == 'expire' then
      senders = senders - 1
    end
    redis.call('ZADD', due, at or now + step_ms, key)
    if step ~= 'wait' then
      local ids = redis.call('HMGET', run, 'run_id', 'generation')
      answer[#answer + 1] = {key, ids[1], ids[2], step}
    end
  end
end
return answer
