-- events.lua: single events for wrk, each of them distinct.
--
-- usage: wrk -s events.lua http://127.0.0.1:PORT/events -- RUN [TIME]
--
-- RUN (100 to 999) keeps the events of one run apart from those of another.
-- TIME is the Unix time of the first event.
-- The last line printed is "wrk key=value ...": answers, seconds, answers that
-- refuse, socket errors, and latency in microseconds.
--
-- A request is joined from pieces made before: the generator shares the cores
-- with the server it measures.

local fronts, middles = {}, {}
local tail = '","price":129.99,"currency":"TRY","referrer":"google"}}'
local kinds = 1000          -- different fronts
local users = 100000
local first = 1000000000    -- ten digits, so that every body of a front has one length
local n = first
local start = 1723420800
local time = '","timestamp":'
local floor = math.floor
local threads = 0

function setup(thread)
	threads = threads + 1
	thread:set("thread_no", threads)
end

function init(args)
	local run = tonumber(args[1]) or 100

	start = tonumber(args[2]) or start + run * 60
	local names = { "product_view", "add_to_cart", "page_view", "purchase", "search" }
	local channels = { "web", "mobile", "email" }
	local tags = { '"electronics","homepage","flash_sale"', '"books","search"', '"garden","newsletter","returning"' }

	for i = 1, kinds do
		local front = string.format('{"event_name":"%s","channel":"%s","user_id":"user_',
			names[i % #names + 1], channels[i % #channels + 1])
		local middle = string.format(
			',"campaign_id":"cmp_%03d","tags":[%s],"metadata":{"product_id":"prod-%d%d-',
			i % 50, tags[i % #tags + 1], run, thread_no)

		fronts[i] = string.format(
			"POST /events HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
			#front + 6 + #time + 10 + #middle + 10 + #tail) .. front
		middles[i] = middle
	end
end

function request()
	n = n + 1
	local i = n % kinds + 1
	-- time passes as it does for clients that send what just happened
	return fronts[i] .. (100000 + n * 7919 % users) .. time .. (start + floor((n - first) / 50000)) ..
		middles[i] .. n .. tail
end

-- wrk counts what is not below 400 by itself: a response() callback would cost
-- the generator a table of headers for every answer
function done(summary, latency)
	local e = summary.errors

	print(string.format("wrk requests=%d seconds=%.6f refused=%d socket_errors=%d p50_us=%d p99_us=%d",
		summary.requests, summary.duration / 1e6, e.status,
		e.connect + e.read + e.write + e.timeout,
		latency:percentile(50), latency:percentile(99)))
end
