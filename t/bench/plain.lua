-- Nothing but the path of the command line.
package.path = debug.getinfo(1, "S").source:match("@(.*/)") .. "?.lua;" .. package.path
local common = require "common"

good, bad = 0, 0
setup = common.setup
done = common.done



function response(status, headers, body)
    if status == 200 then
        good = good + 1
    else
        bad = bad + 1
        sample = sample or (status .. " " .. body:sub(1, 200))
    end
end
