#!lua flags=allow-oom
-- Moves jobs into a slot until it holds ARGV[1]; they come off their queues' right ends, in the order of the queues.
-- KEYS slot, crashed mark, queue...   Answer: mark set (0 or 1), then all that the slot holds. What was there already is
-- part of it: an answer may have been lost, or a blocking move has delivered.
local slot, max = KEYS[1], tonumber(ARGV[1])
local jobs = redis.call('LRANGE', slot, 0, -1)
for i = 3, #KEYS do
    if #jobs >= max then break end
    local got = redis.call('RPOP', KEYS[i], max - #jobs)
    if got then
        redis.call('LPUSH', slot, unpack(got))
        for j = 1, #got do jobs[#jobs + 1] = got[j] end
    end
end
if #jobs == 0 then return jobs end
return { redis.call('EXISTS', KEYS[2]), unpack(jobs) }
