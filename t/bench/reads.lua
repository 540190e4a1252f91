-- Everybody's goals in turn.
package.path = debug.getinfo(1, "S").source:match("@(.*/)") .. "?.lua;" .. package.path
local common = require "common"

good, bad = 0, 0
setup = common.setup
done = common.done

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

function response(status, headers, body)
    if status == 200 then
        good = good + 1
    else
        bad = bad + 1
        sample = sample or (status .. " " .. body:sub(1, 200))
    end
end
