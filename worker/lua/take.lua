#!lua flags=allow-oom
-- Moves jobs into slots until each holds ARGV[1]; they come off their queues' right ends, in the order of the queues. Of each queue it takes
-- its share of what waits there, one part in ARGV[2]: the other parts are for executors that are idle. A job of the high queue is to wait
-- for no other: where slots hold several, it is taken alone, and nothing is added to it. ARGV[3] 1: the normal queue comes first, once.
-- KEYS crashed mark, queues high, normal, low, words of the operator about the lane, its jobs in work, cancelled jobs, slot...
-- Answer: 1 when the mark is set, + 2 when the lane is under orders (ask, do not wait), + 4 when jobs are cancelled; then for each
-- slot a list of all it holds. What was there already is part of it: an answer may have been lost, or a blocking move has delivered. What
-- is more than ARGV[1], or stands beside a job of the high queue (two moves may deliver), goes back, and so into the next slot.
local call, max, parts, at = redis.call, tonumber(ARGV[1]), tonumber(ARGV[2]), 1
local queues = ARGV[3] == '1' and { 3, 2, 4 } or { 2, 3, 4 }
local out, now, may = { 0 }, 0, 1000
local paused, limit, rate, burst, tat
-- nearly always none of them is there
if call('EXISTS', KEYS[1], KEYS[5], KEYS[7]) > 0 then
    paused, limit, rate, burst, tat = unpack(call('HMGET', KEYS[5], 'paused_until', 'limit', 'rate', 'burst', 'tat'))
    out[1] = call('EXISTS', KEYS[1]) + 4 * call('EXISTS', KEYS[7])
end
if paused or limit or rate then
    local t = call('TIME')
    now, out[1] = t[1] * 1000 + t[2] / 1000, out[1] + 2
    if paused and tonumber(paused) > now then may = 0 end
    if limit then
        call('ZREMRANGEBYSCORE', KEYS[6], '-inf', now)
        may = math.min(may, tonumber(limit) - call('ZCARD', KEYS[6]))
    end
    if rate then
        tat = math.max(tonumber(tat or 0), now)
        may = math.min(may, math.floor((now + tonumber(burst) * 1000 / rate - tat) * rate / 1000))
    end
end
local function prio(job) return string.match(job, '^w%d+ %S+ %S+ (%a) ') end
local took = 0
local share         -- of the queue at hand, what is left of it
for s = 8, #KEYS do
    local slot = KEYS[s]
    local jobs = call('LRANGE', slot, 0, -1)
    local most = max
    for i = 1, max > 1 and #jobs or 0 do
        if prio(jobs[i]) == 'h' then
            most, jobs[1], jobs[i] = 1, jobs[i], jobs[1]
            break
        end
    end
    for i = #jobs, most + 1, -1 do
        local p = prio(jobs[i])
        call('LREM', slot, -1, jobs[i])
        call('RPUSH', KEYS[p == 'h' and 2 or p == 'l' and 4 or 3], table.remove(jobs, i))
        at, share = 1, nil
    end
    while #jobs < most and at < 4 and took < may do
        local q = queues[at]
        if not share then
            share = math.ceil(call('LLEN', KEYS[q]) / parts)
            if q == 2 and max > 1 and share > 0 then share = #jobs == 0 and 1 or 0 end
        end
        if share > 0 then
            local got = call('RPOP', KEYS[q], math.min(most - #jobs, may - took, share))
            call('LPUSH', slot, unpack(got))
            for j = 1, #got do jobs[#jobs + 1] = got[j] end
            took, share = took + #got, share - #got
            if q == 2 and max > 1 then break end
        else
            at, share = at + 1, nil
        end
    end
    if limit then
        -- an hour: should a host be lost for good, or one of these be forgotten in another way
        for _, job in ipairs(jobs) do call('ZADD', KEYS[6], now + 3600000, string.match(job, '^w%d+ (%S+)') or job) end
    end
    out[s - 6] = jobs
end
if rate and took > 0 then call('HSET', KEYS[5], 'tat', tat + took * 1000 / rate) end
return out
