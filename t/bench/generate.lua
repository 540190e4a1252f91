-- A message for everybody in turn; tones alternate, so that the pool's cache is missed as long as possible.
package.path = debug.getinfo(1, "S").source:match("@(.*/)") .. "?.lua;" .. package.path
local common = require "common"

good, bad = 0, 0
setup = common.setup
done = common.done

local tones = { "friendly", "tough_love", "calm" }

function init()
    common.load(os.getenv("BENCH_TOKENS"))
    turn = id + 1
    round = os.getenv("BENCH_RUN") == "1" and 2 or 1
end

function request()
    local user = common.users[turn]
    local body = string.format([[{"goal_id":"%s","tone":"%s"}]], user.goal, tones[(round - 1) % 3 + 1])
    turn = turn + 2
    if turn > #common.users then
        turn = id + 1
        round = round + 1
    end
    return wrk.format("POST", "/api/v1/motivation/generate",
        { Host = "localhost", Authorization = "Bearer " .. user.token, ["Content-Type"] = "application/json" }, body)
end

function response(status, headers, body)
    if status == 200 then
        good = good + 1
    else
        bad = bad + 1
        sample = sample or (status .. " " .. body:sub(1, 200))
    end
end
