-- A new check-in each time: the users in turn, and for all of them one day further back; threads take every other user.
package.path = debug.getinfo(1, "S").source:match("@(.*/)") .. "?.lua;" .. package.path
local common = require "common"

good, bad = 0, 0
setup = common.setup
done = common.done

local function date(n)
    return os.date("!%Y-%m-%d", os.time() - 86400 * n)
end

function init()
    common.load(os.getenv("BENCH_TOKENS"))
    -- the warm-up has dates of its own
    day = os.getenv("BENCH_RUN") == "1" and 2 or 8000
    turn = id + 1
    text = date(day)
end

function request()
    local user = common.users[turn]
    local body = string.format([[{"status":"done","date":"%s","reflection":"a few words about it","mood":4}]], text)
    turn = turn + 2
    if turn > #common.users then
        turn = id + 1
        day = day + 1
        text = date(day)
    end
    return wrk.format("POST", "/api/v1/goals/" .. user.goal .. "/checkins",
        { Host = "localhost", Authorization = "Bearer " .. user.token, ["Content-Type"] = "application/json" }, body)
end

function response(status, headers, body)
    if status == 201 then
        good = good + 1
    else
        bad = bad + 1
        sample = sample or (status .. " " .. body:sub(1, 200))
    end
end
