-- Posts a patch with an id of its own when told a key, else asks; says what it counted as one line of JSON.
local count = 0
local body = '{"id": "%s-%d", "title": "t", "changes": [{"type": "upsert", "path": "f/%d.txt", "contents": "x"}]}'

function init(args)
  if args[1] then
    local headers = {["Authorization"] = "Bearer " .. args[1], ["Content-Type"] = "application/json"}
    request = function()
      count = count + 1
      return wrk.format("POST", nil, headers, string.format(body, args[2], count, count))
    end
  end
end

function done(summary, latency, requests)
  local lost = summary.errors.connect + summary.errors.read + summary.errors.write
  io.write(string.format('{"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, "refused": %d, "lost": %d, "late": %d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    summary.errors.status, lost, summary.errors.timeout))
end
