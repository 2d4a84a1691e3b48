-- Helpers that stand before each script of this folder: arguments, time, writes to a full Redis. A
-- script's header lists its KEYS, the arguments by name (one JSON object) and what it returns.
local args = cjson.decode(ARGV[1])

-- This server's time in milliseconds; no worker's clock is used.
local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Let this script write although Redis' memory is full: Redis refuses a script only if its first
-- write needs memory, and removing a field that is not there needs none. What is kept is small and
-- expires, and without it nothing would keep the fleet to its limit. (redis.io, "Eval scripts:
-- execution under low memory conditions")
local function write_when_full(hash)
  redis.call('HDEL', hash, '')
end
