-- Requests made beforehand, each sent once. Arguments: the files' common name; thread n reads "<name>.<n>".
local threads = {}

function setup(thread)
    thread:set("number", #threads + 1)
    table.insert(threads, thread)
end

function init(arguments)
    sent, requests = 0, {}
    local file = assert(io.open(arguments[1] .. "." .. number, "rb"))
    for length in function() return file:read(6) end do
        table.insert(requests, file:read(tonumber(length)))
    end
    file:close()
end

function request()
    sent = sent + 1
    return requests[sent] or requests[#requests]
end

function done(summary, latency)
    local most = 0
    for _, thread in ipairs(threads) do
        most = math.max(most, thread:get("sent"))
    end
    local errors = summary.errors
    print(string.format(
        '{"answered": %d, "seconds": %f, "errors": %d, "p50_ms": %f, "p99_ms": %f, "most_sent": %d}',
        summary.requests, summary.duration / 1e6,
        errors.connect + errors.read + errors.write + errors.status + errors.timeout,
        latency:percentile(50) / 1000, latency:percentile(99) / 1000, most))
end
