-- Prepended to every script of this folder. All times are this server's, in
-- milliseconds, so that no worker's clock is ever asked.
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
