-- What a day brings, at once: mostly the same few users reading, others reading what is in no cache, check-ins, and everything
-- that goes wrong.  What was answered is read from /metrics.
local users, threads, turn, day, seed = {}, 0, 0, 0, 0
local hot = 64

function setup(thread)
    thread:set("id", threads)
    threads = threads + 1
end

function init()
    for line in io.lines(os.getenv("SOAK_TOKENS")) do
        local token, goal = line:match("^(%S+) (%S+)$")
        local headers = { Host = "localhost", Authorization = "Bearer " .. token }
        users[#users + 1] = {
            goal = goal,
            headers = headers,
            json = { Host = "localhost", Authorization = headers.Authorization, ["Content-Type"] = "application/json" },
            goals = wrk.format("GET", "/api/v1/goals", headers),
        }
    end
    bad = wrk.format("GET", "/api/v1/goals", { Host = "localhost", Authorization = "Bearer e30.e30.bm90" })
    none = wrk.format("GET", "/api/v1/goals", { Host = "localhost" })
    missing = wrk.format("GET", "/api/v1/nothing/here", { Host = "localhost" })
    document = wrk.format("GET", "/api/v1/openapi.json", { Host = "localhost" })
    turn = id + 1
    seed = id
    day = 2
end

-- Users in turn; threads take every other one.
local function next_user()
    turn = turn + 2
    if turn > #users then
        turn = id + 1
        day = day + 1
    end
    return users[turn]
end

local function checkin(user)
    return wrk.format("POST", "/api/v1/goals/" .. user.goal .. "/checkins", user.json,
        string.format([[{"status":"done","date":"%s","mood":4}]], os.date("!%Y-%m-%d", os.time() - 86400 * day)))
end

function request()
    seed = seed + 1
    local n = (seed * 7919) % 1000
    if n < 700 then
        return users[seed % hot + 1].goals
    elseif n < 800 then
        local user = next_user()
        return wrk.format("GET", "/api/v1/goals/" .. user.goal .. "/checkins?limit=" .. (seed % 50 + 1), user.headers)
    elseif n < 850 then
        local user = next_user()
        return wrk.format("GET", "/api/v1/goals/" .. user.goal .. "/stats", user.headers)
    elseif n < 900 then
        return checkin(next_user())
    elseif n < 930 then
        return bad
    elseif n < 940 then
        return none
    elseif n < 970 then
        return missing
    elseif n < 980 then
        return wrk.format("GET", "/api/v1/goals/" .. users[seed % #users + 1].goal, users[1].headers)
    elseif n < 990 then
        return wrk.format("POST", "/api/v1/goals", users[seed % #users + 1].json, [[{"title":"","frequency":9}]])
    else
        return document
    end
end
