#!lua flags=allow-oom
-- The leader's lease.  KEYS lease, epoch.  ARGV instance, ms (0 = give it up), the greatest
-- epoch that is known otherwise (it outlives a Redis that has lost its data).  Answer: the fencing epoch, 0 = follower.
local who = redis.call('GET', KEYS[1])
if who == ARGV[1] then
    if ARGV[2] == '0' then
        redis.call('DEL', KEYS[1])
        return 0
    end
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
elseif who or ARGV[2] == '0' then
    return 0
else
    redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
    redis.call('INCR', KEYS[2])
end
local epoch, known = tonumber(redis.call('GET', KEYS[2]) or 0), tonumber(ARGV[3])
if epoch <= known then
    epoch = known + 1
    redis.call('SET', KEYS[2], epoch)
end
return epoch
