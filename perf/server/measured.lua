-- One line of what was measured: requests a second, median and 99th percentile of latency in milliseconds, errors.
function done(summary, latency)
   local errors = summary.errors
   print(string.format("measured %.0f %.3f %.3f %d", summary.requests / summary.duration * 1e6,
      latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
      errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
