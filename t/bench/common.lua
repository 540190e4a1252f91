-- What the scripts of wrk share: the users, counting by status, and lines that bench reads.
local M = { users = {}, threads = {} }

function M.load(file)
    for line in io.lines(file) do
        local token, goal = line:match("^(%S+) (%S+)$")
        M.users[#M.users + 1] = { token = token, goal = goal }
    end
end

-- setup() runs in wrk's own thread for each thread; `id` separates what they write
function M.setup(thread)
    M.threads[#M.threads + 1] = thread
    thread:set("id", #M.threads - 1)
end

function M.done(summary, latency)
    local good, bad = 0, 0
    for _, thread in ipairs(M.threads) do
        good = good + (thread:get("good") or 0)
        bad = bad + (thread:get("bad") or 0)
        local sample = thread:get("sample")
        if sample then io.write("first error: ", sample, "\n") end
    end
    local e = summary.errors
    io.write(string.format("bench good %d\nbench bad %d\nbench socket_errors %d\nbench seconds %.3f\nbench p50 %.1f\nbench p99 %.1f\n",
        good, bad, e.connect + e.read + e.write + e.timeout, summary.duration / 1e6,
        latency:percentile(50), latency:percentile(99)))
end

return M
