-- The calls without an output that are neither queued nor leased, and the time at which the next
-- of the others is to be looked at again. Calls queued until exactly 'again' count as not queued.
local function missing(run, now, again)
  local idle, next_look = {}, nil
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
