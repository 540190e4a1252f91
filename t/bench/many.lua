-- Everybody's goals in turn; what comes back is counted by wrk itself.
package.path = debug.getinfo(1, "S").source:match("@(.*/)") .. "?.lua;" .. package.path
local common = require "common"

setup = common.setup

function init()
    common.load(os.getenv("BENCH_TOKENS"))
    turn = id * 7
    requests = {}
    for i, user in ipairs(common.users) do
        requests[i] = wrk.format("GET", "/api/v1/goals", { Host = "localhost", Authorization = "Bearer " .. user.token })
    end
end

function request()
    turn = turn % #requests + 1
    return requests[turn]
end

