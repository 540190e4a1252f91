#!lua flags=allow-oom
-- One job out of a slot whose owner has gone: back to the right end of its queue, or, if it was there for the third
-- time when a process died, to the dead letters.
-- What its process was not doing may have been begun as well: for as long as that matters (pool.open) a count of 0 says so.
-- KEYS slot, queue, crash count, crashed mark, dead letters, job state, reply list, the lane's jobs in work.
-- ARGV envelope, suspect (0 or 1), limit, dead envelope, reply or '', state, dead letters kept.  Answer: 0 gone, 1 back, 2 dead.
local call = redis.call
if call('LREM', KEYS[1], 1, ARGV[1]) == 0 then return 0 end
call('ZREM', KEYS[8], string.match(ARGV[1], '^w%d+ (%S+)') or '')
if ARGV[2] == '1' then
    call('SET', KEYS[4], 1, 'EX', 86400)
    local crashes = call('INCR', KEYS[3])
    call('EXPIRE', KEYS[3], 86400)
    if crashes >= tonumber(ARGV[3]) then
        local s = call('TIME')[1]
        call('ZADD', KEYS[5], s * 1000, ARGV[4])
        call('ZREMRANGEBYRANK', KEYS[5], 0, -1 - ARGV[7])
        call('ZREMRANGEBYSCORE', KEYS[5], '-inf', (s - 7776000) * 1000)
        call('SET', KEYS[6], ARGV[6], 'XX', 'KEEPTTL')
        if ARGV[5] ~= '' then
            call('LPUSH', KEYS[7], ARGV[5])
            call('PEXPIRE', KEYS[7], 60000)
        end
        return 2
    end
else
    call('SET', KEYS[3], 0, 'NX', 'EX', 120)
    if call('TTL', KEYS[4]) < 120 then call('SET', KEYS[4], 1, 'EX', 120) end
end
call('RPUSH', KEYS[2], ARGV[1])
return 1
