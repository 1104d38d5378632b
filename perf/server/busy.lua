-- Each connection asks again as soon as it has its answer.
dofile("perf/server/measured.lua")
