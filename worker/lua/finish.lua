#!lua flags=allow-oom
-- Results of jobs.  KEYS channel, revoked, the lane's jobs in work, slot...  ARGV, for each job: which slot (from 1), envelope, n, then n times: op, key,
-- value, number.  Removing the envelope is the fence: when it is gone, we were declared dead and its ops are skipped.
-- A job that ends is no longer to be cancelled; one that goes on (its envelope is among the values) still is.
-- Answer: numbers (from 0) of the jobs that were lost.
local i, job, tags, lost, call = 1, 0, {}, {}, redis.call
local ops = {
    reply = function(k, v, n) call('LPUSH', k, v) call('PEXPIRE', k, n) end,
    push = function(k, v) call('LPUSH', k, v) end,
    delay = function(k, v, n)
        local t = call('TIME')
        call('ZADD', k, t[1] * 1000 + math.floor(t[2] / 1000) + n, v)
    end,
    dead = function(k, v, n)
        local s = call('TIME')[1]
        call('ZADD', k, s * 1000, v)
        call('ZREMRANGEBYRANK', k, 0, -1 - n)
        call('ZREMRANGEBYSCORE', k, '-inf', (s - 7776000) * 1000)
    end,
    state = function(k, v) call('SET', k, v, 'XX', 'KEEPTTL') end,
    revoked = function(k, _, n) call('ZADD', KEYS[2], 'GT', n, k) end,
    tags = function(_, v, n)
        tags[#tags + 1] = v
        if n == 0 then return end
        for tag in string.gmatch(v, '%S+') do
            call('INCR', '{fn}:gen:' .. tag)
            call('EXPIRE', '{fn}:gen:' .. tag, n)
        end
    end
}
local limited, cancels = false, false
if call('EXISTS', KEYS[3], '{fn}:cancelled') > 0 then
    limited, cancels = call('EXISTS', KEYS[3]) == 1, call('EXISTS', '{fn}:cancelled') == 1
end
while i < #ARGV do
    local mine = call('LREM', KEYS[3 + ARGV[i]], 1, ARGV[i + 1]) == 1
    if not mine then lost[#lost + 1] = job elseif limited then call('ZREM', KEYS[3], string.match(ARGV[i + 1], '^w%d+ (%S+)') or '') end
    local first, last = i + 3, i + 2 + 4 * ARGV[i + 2]
    for o = first, last, 4 do
        if mine then ops[ARGV[o]](ARGV[o + 1], ARGV[o + 2], tonumber(ARGV[o + 3])) end
    end
    if mine and cancels then
        local id, goes_on = string.match(ARGV[i + 1], '^w%d+ (%S+)') or ''
        for o = first, last, 4 do
            local moves = ARGV[o] == 'push' or ARGV[o] == 'delay'
            goes_on = goes_on or moves and string.match(ARGV[o + 2], '^w%d+ (%S+)') == id
        end
        if not goes_on then call('SREM', '{fn}:cancelled', id) end
    end
    i, job = last + 1, job + 1
end
if #tags > 0 then call('PUBLISH', KEYS[1], table.concat(tags, ' ')) end
return lost
