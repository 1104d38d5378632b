-- Each connection waits up to eight seconds before each request.
dofile("perf/server/measured.lua")

function delay()
   return math.random(0, 8000)
end
