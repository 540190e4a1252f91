#!lua flags=allow-oom
-- Moves jobs into slots until each holds ARGV[1]; they come off their queues' right ends, in the order of the queues.
-- KEYS crashed mark, queues high, normal, low, slot...  Answer: mark set (0 or 1), then for each slot a list of all it holds. What
-- was there already is part of it: an answer may have been lost, or a blocking move has delivered. What is more than ARGV[1]
-- (two moves may deliver) goes back, and so into the next slot.
local call, max, out, q = redis.call, tonumber(ARGV[1]), { redis.call('EXISTS', KEYS[1]) }, 2
for s = 5, #KEYS do
    local slot = KEYS[s]
    local jobs = call('LRANGE', slot, 0, -1)
    for i = #jobs, max + 1, -1 do
        local prio = string.match(jobs[i], '^w%d+ %S+ %S+ (%a) ')
        call('LREM', slot, -1, jobs[i])
        call('RPUSH', KEYS[prio == 'h' and 2 or prio == 'l' and 4 or 3], table.remove(jobs, i))
        q = 2
    end
    while #jobs < max and q < 5 do
        local got = call('RPOP', KEYS[q], max - #jobs)
        if got then
            call('LPUSH', slot, unpack(got))
            for j = 1, #got do jobs[#jobs + 1] = got[j] end
        else
            q = q + 1
        end
    end
    out[s - 3] = jobs
end
return out
