#!lua flags=allow-oom
-- Delayed jobs that are due go to the right end of their queues: they have waited already.
-- KEYS, for each lane: delayed, high, normal, low.  ARGV[1] at most so many a lane.  Answer: how many.
local t, n = redis.call('TIME'), 0
local now = t[1] * 1000 + math.floor(t[2] / 1000)
for k = 1, #KEYS, 4 do
    local due = redis.call('ZRANGEBYSCORE', KEYS[k], '-inf', now, 'LIMIT', 0, ARGV[1])
    for _, job in ipairs(due) do
        local prio = string.match(job, '^w%d+ %S+ %S+ (%a) ')
        redis.call('ZREM', KEYS[k], job)
        redis.call('RPUSH', KEYS[k + (prio == 'h' and 1 or prio == 'l' and 3 or 2)], job)
        n = n + 1
    end
end
return n
