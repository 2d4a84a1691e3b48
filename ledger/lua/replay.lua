-- Opens a dead letter again with fresh clocks: 'submission' sends the frozen bytes once more under
-- the same idempotency key, 'failed-calls' takes again the calls that may succeed now, 'full' all
-- of them; the last two are a new generation, so that steps of the old one find it gone. The fence
-- goes up by one, so that the first meets no earlier sender. That an attempt may have arrived stays
-- known: other bytes do not undo it. Replays get their messages from a reconciler, behind all runs
-- whose callers wait: a thousand of them hold up none.
--
-- KEYS: run, due, dead, unpublished
-- ARGV: key, mode, answer_by_ms, expires_ms, then the codes of outputs that may succeed now
-- Returns: {'gone'}, {'open'}, {'no body'}, or {'replayed', generation}
--- @include "run"
local run, due, dead, unpublished = unpack(KEYS)
local key, mode = ARGV[1], ARGV[2]
local answer_by_ms, expires_ms = tonumber(ARGV[3]), tonumber(ARGV[4])
local state = redis.call('HGET', run, 'state')
if not state then
  return {'gone'}
elseif state ~= 'dead' then
  return {'open'}
elseif mode == 'submission' and redis.call('HEXISTS', run, 'body') == 0 then
  return {'no body'}
end
local may_succeed = {}
for at = 5, #ARGV do may_succeed[ARGV[at]] = true end
local now = now_ms()
redis.call('HSET', run, 'replayed_at:' .. number(run, 'generation'), now,
  'replayed_reason:' .. number(run, 'generation'), redis.call('HGET', run, 'reason'))
redis.call('HDEL', run, 'reason', 'ended_at', 'next_attempt_at', 'waits_for')
for _, field in ipairs(redis.call('HKEYS', run)) do
  if string.sub(field, 1, 8) == 'attempt_' or string.sub(field, 1, 7) == 'try_at:'
      or string.sub(field, 1, 4) == 'step' then
    redis.call('HDEL', run, field)
  end
end
redis.call('HSET', run, 'attempts', 0, 'answer_by', now + answer_by_ms, 'expires_at', now + expires_ms)
redis.call('HINCRBY', run, 'fence', 1)
redis.call('HINCRBY', run, 'replays', 1)
if mode == 'submission' then
  redis.call('HSET', run, 'state', 'submitting')
else
  redis.call('HDEL', run, 'body', 'frozen_at', 'begun_at', 'round', 'publishes', 'begun_by',
    'begun_until', 'published_at', 'spare')
  for index = 0, number(run, 'calls') - 1 do
    local code = redis.call('HGET', run, 'code:' .. index)
    redis.call('HDEL', run, 'queued_until:' .. index, 'busy_until:' .. index, 'holder:' .. index,
      'message:' .. index, 'tries:' .. index, 'is_poison:' .. index, 'started_at:' .. index)
    if code and (mode == 'full' or may_succeed[code]) then
      redis.call('HDEL', run, 'output:' .. index, 'code:' .. index)
      redis.call('HINCRBY', run, 'outputs', -1)
    end
  end
  redis.call('HINCRBY', run, 'generation', 1)
  redis.call('HSET', run, 'state', 'accepted')
  redis.call('ZADD', unpublished, now + 1e13, key) -- above every time of acceptance
end
redis.call('PERSIST', run)
redis.call('ZREM', dead, key)
redis.call('ZADD', due, now, key)
return {'replayed', number(run, 'generation')}
