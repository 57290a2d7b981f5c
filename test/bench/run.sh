#!/usr/bin/env bash
#
# run.sh: the figures of `make bench`.
#
# Starts a PostgreSQL cluster of its own with default settings and fast_ingest in
# it, measures, prints a table, and removes the cluster.  All traffic stays on
# 127.0.0.1.  A figure below its target is no failure; an answer that is not 202,
# or a row too few or too many in the database, is one.
#
#   single   single events over 64 connections by wrk, against null_server, and
#            against fast_ingest with deduplicate = content and = key
#   bulk     1,000 events per request, against COPY of the same rows by psql
#   latency  one event at a time over one idle connection
#   memory   private memory of listener and flusher over 10 million events
#
# Needs wrk, curl, cc and libmicrohttpd's headers.  Reads from the environment:
#   BINDIR             PostgreSQL's programs (default: pg_config --bindir)
#   STATE              a writable directory on the disk to measure (default: a new one)
#   ROUNDS             rounds of each figure (default 5)
#   SECONDS_PER_ROUND  of single events (default 5)
#   BULK_EVENTS        events of each bulk round, in thousands (default 1000)
#   BULK_CONNECTIONS   (default 4)
#   MEMORY_STEPS       of a million events each (default 10)
#   ONLY               single, bulk, latency, memory, or several with commas (default all)

set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
BINDIR=${BINDIR:-$(pg_config --bindir)}
ROUNDS=${ROUNDS:-5}
SECONDS_PER_ROUND=${SECONDS_PER_ROUND:-5}
BULK_EVENTS=${BULK_EVENTS:-1000}
BULK_CONNECTIONS=${BULK_CONNECTIONS:-4}
MEMORY_STEPS=${MEMORY_STEPS:-10}
ONLY=${ONLY:-single,bulk,latency,memory}

connections=64
latency_requests=2000
columns='event_name, channel, user_id, ts, campaign_id, site_id, path, tags, metadata'

work=
sockets=
null_pid=
failures=0
wrk_run=100                 # number of the next run of wrk
next_request=10000000       # number of the next request of event_client

die()
{
	echo "bench: $*" >&2
	exit 1
}

# Something did not work: say so, go on, and fail in the end
problem()
{
	echo "bench: PROBLEM: $*" >&2
	failures=$((failures + 1))
}

cleanup()
{
	trap - EXIT
	if [ -n "$null_pid" ]; then
		kill "$null_pid" 2>/dev/null || true
		wait "$null_pid" 2>/dev/null || true
	fi
	if [ -n "$work" ] && [ -f "$work/data/postmaster.pid" ]; then
		"$BINDIR/pg_ctl" -D "$work/data" -m fast -t 30 -s stop ||
			"$BINDIR/pg_ctl" -D "$work/data" -m immediate -t 30 -s stop || true
	fi
	if [ -n "$work" ]; then
		rm -rf "$work"
	fi
	if [ -n "$sockets" ]; then
		rm -rf "$sockets"
	fi
}

wanted()
{
	case ",$ONLY," in
		*",$1,"*) return 0 ;;
		*) return 1 ;;
	esac
}

calc()
{
	awk "BEGIN { printf \"%.6f\", $1 }"
}

# value NAME LINE: what stands after NAME= in a line of key=value pairs
value()
{
	local pair

	for pair in $2; do
		if [ "${pair%%=*}" = "$1" ]; then
			echo "${pair#*=}"
			return
		fi
	done
	die "no $1 in: $2"
}

# record NAME NUMBER: one measurement of a figure
record()
{
	echo "$1 $2" >>"$work/figures"
}

# ---------------------------------------------------------------- the cluster

sql()
{
	"$BINDIR/psql" -X -q -A -t -F ' ' -v ON_ERROR_STOP=1 -c "$1"
}

free_port()
{
	local port

	for port in $(shuf -i 20000-30000 -n 50); do
		if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
			echo "$port"
			return
		fi
	done
	die "no free port found"
}

start_cluster()
{
	http_port=$(free_port)
	sockets=$(mktemp -d "${TMPDIR:-/tmp}/fi_bench.XXXXXX")

	"$BINDIR/initdb" -D "$work/data" -U bench -A trust -E UTF8 --locale=C.UTF-8 -N >"$work/initdb.log" 2>&1 ||
		die "initdb failed: $(tail -n 3 "$work/initdb.log")"
	cat >>"$work/data/postgresql.conf" <<-CONF
		listen_addresses = ''
		unix_socket_directories = '$sockets'
		max_wal_size = 4GB      # no checkpoint in the middle of a round; there is one before each
		shared_preload_libraries = 'fast_ingest'
		fast_ingest.database = 'postgres'
		fast_ingest.port = $http_port
		fast_ingest.max_age = 0
	CONF
	"$BINDIR/pg_ctl" -D "$work/data" -l "$work/log" -t 30 -s start ||
		die "the server did not start: $(tail -n 5 "$work/log")"

	unset PGOPTIONS PGSERVICE PGSSLMODE PGPASSWORD
	export PGHOST=$sockets PGPORT=5432 PGUSER=bench PGDATABASE=postgres
	sql 'CREATE EXTENSION fast_ingest'
	wait_ready
}

wait_ready()
{
	local i

	for ((i = 0; i < 300; i++)); do
		if curl -s -f -m 5 -o /dev/null "http://127.0.0.1:$http_port/ready"; then
			return
		fi
		sleep 0.1
	done
	tail -n 20 "$work/log" >&2
	die "not ready after 30 seconds: $(curl -s -m 5 "http://127.0.0.1:$http_port/ready" 2>&1)"
}

build_programs()
{
	local program

	mkdir "$work/bin"
	for program in null_server event_client; do
		# shellcheck disable=SC2046
		"${CC:-cc}" -O2 -o "$work/bin/$program" "$here/$program.c" \
			$(pkg-config --cflags --libs libmicrohttpd 2>/dev/null || echo -lmicrohttpd) ||
			die "could not build $program"
	done
}

# The null server ends by itself after an hour, whatever becomes of this script
start_null_server()
{
	local i

	"$work/bin/null_server" 3600 >"$work/null_port" &
	null_pid=$!
	for ((i = 0; i < 100; i++)); do
		if [ -s "$work/null_port" ]; then
			null_port=$(cat "$work/null_port")
			return
		fi
		sleep 0.05
	done
	die "null_server did not start"
}

# An empty table and no dirty pages: what every round starts with
clean_table()
{
	sql 'TRUNCATE fast_ingest.events'
	sql 'CHECKPOINT'
}

# Switch deduplication, and see from an event that the listener took it up
set_deduplicate()
{
	local i key

	sql "ALTER SYSTEM SET fast_ingest.deduplicate = '$1'"
	sql 'SELECT pg_reload_conf()' >/dev/null
	for ((i = 0; i < 100; i++)); do
		sql 'TRUNCATE fast_ingest.events'
		curl -s -f -m 10 -o /dev/null -H 'Content-Type: application/json' \
			-d '{"event_name":"probe","channel":"web","user_id":"probe","timestamp":1723420800}' \
			"http://127.0.0.1:$http_port/events" || die "the probe was refused"
		key=$(sql "SELECT CASE WHEN event_key IS NULL THEN 'key' ELSE 'content' END FROM fast_ingest.events")
		if [ "$key" = "$1" ]; then
			return
		fi
		sleep 0.1
	done
	die "fast_ingest.deduplicate = $1 was not taken up"
}

# Wait until nothing is staged and nothing comes any more (a generator that ends
# leaves requests in the sockets), then remember fi_status()'s counters
mark_committed()
{
	local i status before=

	for ((i = 0; i < 300; i++)); do
		status=$(sql 'SELECT sum(staged), sum(accepted), sum(committed), sum(duplicate) + sum(dead_lettered) FROM fi_status()')
		if [ "${status%% *}" = 0 ] && [ "$status" = "$before" ]; then
			read -r _ accepted committed lost <<<"$status"
			[ "$accepted" = $((committed + lost)) ] ||
				problem "the books do not balance: $accepted accepted, $committed committed, $lost duplicates and dead letters"
			return
		fi
		before=$status
		sleep 0.1
	done
	die "not at rest after 30 seconds: staged, accepted, committed, lost: $status"
}

# count_committed LEAST MOST: how many events were committed since mark_committed,
# which must be that many, and rows of a table that was empty then
count_committed()
{
	local committed_before=$committed lost_before=$lost rows

	mark_committed
	stored=$((committed - committed_before))
	rows=$(sql 'SELECT count(*) FROM fast_ingest.events')
	if [ "$stored" -lt "$1" ] || [ "$stored" -gt "$2" ]; then
		problem "$stored events committed, not $1 to $2"
	fi
	if [ "$rows" != "$stored" ]; then
		problem "$rows rows in the table, but $stored committed"
	fi
	if [ "$lost" != "$lost_before" ]; then
		problem "$((lost - lost_before)) distinct events were taken for duplicates or dead letters"
	fi
}

# ---------------------------------------------------------------- the load generators

# take_line: what a load generator printed, as variables; latencies in ms
take_line()
{
	requests=$(value requests "$line")
	refused=$(value refused "$line")
	seconds=$(value seconds "$line")
	p50=$(calc "$(value p50_us "$line") / 1000")
	p99=$(calc "$(value p99_us "$line") / 1000")
}

# run_wrk PORT SECONDS
run_wrk()
{
	line=$(timeout $(($2 + 20)) wrk -t1 -c"$connections" -d"$2s" -s "$here/events.lua" \
		"http://127.0.0.1:$1/events" -- "$wrk_run" | grep '^wrk requests=') || die "wrk failed"
	wrk_run=$((wrk_run + 1))
	take_line
	if [ "$refused" != 0 ] || [ "$(value socket_errors "$line")" != 0 ]; then
		problem "not every answer was a 202: $line"
	fi
}

# run_client PORT REQUESTS EVENTS CONNECTIONS
run_client()
{
	line=$("$work/bin/event_client" -p "$1" -n "$2" -e "$3" -c "$4" -f "$next_request" -t 120) ||
		problem "not every answer was a 202: ${line:-no result}"
	next_request=$((next_request + $2))
	[ -n "$line" ] || die "event_client failed"
	take_line
}

# ---------------------------------------------------------------- single events

# measure_single null|content|key
measure_single()
{
	if [ "$1" = null ]; then
		run_wrk "$null_port" "$SECONDS_PER_ROUND"
		stored=$requests
	else
		set_deduplicate "$1"
		clean_table
		mark_committed
		run_wrk "$http_port" "$SECONDS_PER_ROUND"
		# wrk leaves without the answers under way
		count_committed "$requests" $((requests + connections))
	fi
	rate=$(calc "$stored / $seconds")
	record "single_$1" "$rate"
	record "single_$1_p99" "$p99"
	printf '  %-8s %9.0f events/s   p50 %6.2f ms   p99 %6.2f ms\n' "$1" "$rate" "$p50" "$p99"
}

bench_single()
{
	local round variant
	local -A rates

	echo
	echo "single events: wrk -t1 -c$connections -d${SECONDS_PER_ROUND}s, distinct events of about 250 bytes"
	run_wrk "$null_port" 1
	run_wrk "$http_port" 1
	for ((round = 1; round <= ROUNDS; round++)); do
		echo " round $round"
		for variant in null content key; do
			measure_single "$variant"
			rates[$variant]=$rate
		done
		record single_content_ratio "$(calc "${rates[content]} / ${rates[null]}")"
		record single_key_ratio "$(calc "${rates[key]} / ${rates[null]}")"
	done
}

# ---------------------------------------------------------------- bulk

# measure_bulk copy|key|content
measure_bulk()
{
	local events=$((BULK_EVENTS * 1000))

	if [ "$1" = copy ]; then
		clean_table
		seconds=$("$BINDIR/psql" -X -q -v ON_ERROR_STOP=1 -c '\timing on' \
			-c "COPY fast_ingest.events ($columns) FROM STDIN" <"$work/rows" |
			awk '/^Time:/ { print $2 / 1000 }')
		[ "$(sql 'SELECT count(*) FROM fast_ingest.events')" = "$events" ] ||
			problem "COPY did not store $events rows"
	else
		set_deduplicate "$1"
		clean_table
		mark_committed
		run_client "$http_port" "$BULK_EVENTS" 1000 "$BULK_CONNECTIONS"
		# the last answer comes after the last commit
		count_committed "$events" "$events"
	fi
	rate=$(calc "$events / $seconds")
	record "bulk_$1" "$rate"
	printf '  %-8s %9.0f rows/s   %6.2f s\n' "$1" "$rate" "$seconds"
}

bench_bulk()
{
	local round variant
	local -A rates

	echo
	echo "bulk: $BULK_EVENTS requests of 1,000 events of about 295 bytes over $BULK_CONNECTIONS connections; COPY of the same rows by psql"
	"$work/bin/event_client" -w -n "$BULK_EVENTS" -e 1000 >"$work/rows"
	run_client "$null_port" "$BULK_EVENTS" 1000 "$BULK_CONNECTIONS"
	record bulk_null "$(calc "$BULK_EVENTS * 1000 / $seconds")"

	# a first COPY that does not count makes the partition's files and the WAL's
	set_deduplicate content
	sql "COPY fast_ingest.events ($columns) FROM STDIN" <"$work/rows"
	for ((round = 1; round <= ROUNDS; round++)); do
		echo " round $round"
		for variant in copy key content; do
			measure_bulk "$variant"
			rates[$variant]=$rate
		done
		record bulk_key_ratio "$(calc "${rates[key]} / ${rates[copy]}")"
		record bulk_content_ratio "$(calc "${rates[content]} / ${rates[copy]}")"
	done
	rm -f "$work/rows"
}

# ---------------------------------------------------------------- latency

bench_latency()
{
	local round

	echo
	echo "latency: $latency_requests single events, one after the other, one connection, deduplicate = content"
	set_deduplicate content
	run_client "$http_port" 200 1 1
	for ((round = 1; round <= ROUNDS; round++)); do
		run_client "$null_port" "$latency_requests" 1 1
		record latency_null_p50 "$p50"
		clean_table
		mark_committed
		run_client "$http_port" "$latency_requests" 1 1
		count_committed "$latency_requests" "$latency_requests"
		record latency_p50 "$p50"
		record latency_p99 "$p99"
		printf ' round %d   p50 %.3f ms   p99 %.3f ms\n' "$round" "$p50" "$p99"
	done
}

# ---------------------------------------------------------------- memory

# worker_pid listener|flusher
worker_pid()
{
	sql "SELECT pid FROM pg_stat_activity WHERE backend_type = 'fast_ingest $1' ORDER BY pid LIMIT 1"
}

# memory_of PID: kB of anonymous memory, that is without shared memory and files
memory_of()
{
	awk '$1 == "Anonymous:" { print $2 }' "/proc/$1/smaps_rollup"
}

largest()
{
	echo $(($1 > $2 ? $1 : $2))
}

bench_memory()
{
	local step listener flusher listener_kb flusher_kb
	local listener_base=0 flusher_base=0 listener_growth=0 flusher_growth=0

	echo
	echo "memory: anonymous memory (no shared memory) after each million of bulk events, deduplicate = content"
	set_deduplicate content
	listener=$(worker_pid listener)
	flusher=$(worker_pid flusher)
	printf ' %7s %12s %12s\n' millions 'listener kB' 'flusher kB'
	printf ' %7d %12d %12d\n' 0 "$(memory_of "$listener")" "$(memory_of "$flusher")"
	for ((step = 1; step <= MEMORY_STEPS; step++)); do
		clean_table
		mark_committed
		run_client "$http_port" 1000 1000 "$BULK_CONNECTIONS"
		count_committed 1000000 1000000
		listener_kb=$(memory_of "$listener")
		flusher_kb=$(memory_of "$flusher")
		printf ' %7d %12d %12d\n' "$step" "$listener_kb" "$flusher_kb"
		# caches fill in the first steps
		if [ "$step" -le 2 ]; then
			listener_base=$listener_kb
			flusher_base=$flusher_kb
		else
			listener_growth=$(largest "$listener_growth" $((listener_kb - listener_base)))
			flusher_growth=$(largest "$flusher_growth" $((flusher_kb - flusher_base)))
		fi
	done
	record memory_listener "$listener_growth"
	record memory_flusher "$flusher_growth"
	if [ "$(worker_pid listener)" != "$listener" ] || [ "$(worker_pid flusher)" != "$flusher" ]; then
		problem "a worker was restarted on the way"
	fi
}

# ---------------------------------------------------------------- the report

print_machine()
{
	echo "machine    $(nproc) x $(awk -F ': ' '/model name/ { print $2; exit }' /proc/cpuinfo), Linux $(uname -r), load $(cut -d ' ' -f 1 /proc/loadavg) at start"
	echo "cluster    $("$BINDIR/postgres" --version), on $(stat -f -c %T "$work/data")"
	echo "programs   libmicrohttpd $(pkg-config --modversion libmicrohttpd 2>/dev/null || echo '?'), $({ wrk -v || true; } 2>&1 | head -n 1 | cut -d ' ' -f 1,2)"
	echo "settings that are not PostgreSQL's defaults:"
	sql "SELECT '  ' || name || ' = ' || coalesce(nullif(current_setting(name), ''), '''''')
		FROM pg_settings WHERE source NOT IN ('default', 'override', 'client', 'environment variable') ORDER BY name"
}

# figure TITLE NAME DIGITS [least|most TARGET]: a line of the table, if it was measured
figure()
{
	awk -v name="$2" '$1 == name { print $2 }' "$work/figures" | sort -g |
		awk -v title="$1" -v digits="$3" -v sense="${4:-}" -v target="${5:-}" '
			function show(x) { return sprintf("%." digits "f", x) }
			{ x[NR] = $1 }
			END {
				if (NR == 0)
					exit
				median = NR % 2 ? x[(NR + 1) / 2] : (x[NR / 2] + x[NR / 2 + 1]) / 2
				range = show(x[1]) " - " show(x[NR])
				if (sense == "") {
					printf "%-46s %10s  %-19s\n", title, show(median), range
					exit
				}
				met = sense == "least" ? median >= target + 0 : median <= target + 0
				printf "%-46s %10s  %-19s %-9s %8s %6.2f  %s\n", title, show(median), range,
					sense == "least" ? "at least" : "at most", target, median / target, met ? "yes" : "NO"
			}'
}

print_table()
{
	echo
	printf '%-46s %10s  %-19s %-18s %6s  %s\n' figure median 'min - max' target ratio met
	figure 'single, null server, events/s' single_null 0
	figure 'single, null server, p99 ms' single_null_p99 2
	figure 'single, deduplicate content, events/s' single_content 0 least 60000
	figure 'single, deduplicate content, p99 ms' single_content_p99 2 most 8
	figure 'single, deduplicate content, of null server' single_content_ratio 3 least 0.45
	figure 'single, deduplicate key, events/s' single_key 0 least 75000
	figure 'single, deduplicate key, p99 ms' single_key_p99 2 most 8
	figure 'single, deduplicate key, of null server' single_key_ratio 3 least 0.45
	figure 'bulk, null server, events/s' bulk_null 0
	figure 'bulk, COPY by psql, rows/s' bulk_copy 0
	figure 'bulk, deduplicate key, rows/s' bulk_key 0
	figure 'bulk, deduplicate key, of COPY' bulk_key_ratio 3 least 1
	figure 'bulk, deduplicate content, rows/s' bulk_content 0 least 130000
	figure 'bulk, deduplicate content, of COPY' bulk_content_ratio 3
	figure 'latency, null server, p50 ms' latency_null_p50 3
	figure 'latency, one connection, p50 ms' latency_p50 3 most 1
	figure 'latency, one connection, p99 ms' latency_p99 3
	figure 'memory, listener, growth in kB' memory_listener 0 most 1024
	figure 'memory, flusher, growth in kB' memory_flusher 0 most 1024
	echo
	echo "ratio: median / target.  Stored events by fi_status() and count(*), not by the load generator."
	echo "growth: the most that private memory was above what it was after 2 million events."
}

main()
{
	local program

	[ "$(id -u)" != 0 ] || die "initdb refuses root: run this as another user"
	for program in wrk curl; do
		command -v "$program" >/dev/null || die "$program is missing"
	done

	trap cleanup EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	if [ -n "${STATE:-}" ]; then
		work=$(mktemp -d "$STATE/bench.XXXXXX")
	else
		work=$(mktemp -d)
	fi
	: >"$work/figures"

	build_programs
	start_cluster
	start_null_server
	print_machine

	if wanted single; then bench_single; fi
	if wanted bulk; then bench_bulk; fi
	if wanted latency; then bench_latency; fi
	if wanted memory; then bench_memory; fi

	print_table
	if [ "$failures" -gt 0 ]; then
		die "$failures problems"
	fi
}

main "$@"
