# lib.sh: what the parts of run.sh share. Nothing here measures anything by itself.
# Sourced by run.sh, which sets here, BINDIR and the settings of the environment.
# shellcheck shell=bash

connections=64

work=
sockets=
null_pid=
client_pid=                 # of an event_client, or another helper, in the background
target_pids=()              # of what streams are sent to
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
	local pid

	trap - EXIT
	for pid in $null_pid $client_pid "${target_pids[@]}"; do
		kill "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
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

# median NAME: of the measurements of a figure
median()
{
	awk -v name="$1" '$1 == name { print $2 }' "$work/figures" | sort -g |
		awk '{ x[NR] = $1 } END { print NR % 2 ? x[(NR + 1) / 2] : (x[NR / 2] + x[NR / 2 + 1]) / 2 }'
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
	mkdir "$work/bin"
	# shellcheck disable=SC2046
	"${CC:-cc}" -O2 -o "$work/bin/null_server" "$here/null_server.c" \
		$(pkg-config --cflags --libs libmicrohttpd 2>/dev/null || echo -lmicrohttpd) ||
		die "could not build null_server"
	"${CC:-cc}" -O2 -o "$work/bin/event_client" "$here/event_client.c" "$here/request.c" ||
		die "could not build event_client"
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

# change SETTING VALUE: without a restart; it is taken up in a moment
change()
{
	sql "ALTER SYSTEM SET $1 = '$2'"
	sql 'SELECT pg_reload_conf()' >/dev/null
}

# change_back SETTING...: to what they were before change
change_back()
{
	local setting

	for setting in "$@"; do
		sql "ALTER SYSTEM RESET $setting"
	done
	sql 'SELECT pg_reload_conf()' >/dev/null
}

# Switch deduplication, and see from an event that the listener took it up
set_deduplicate()
{
	local i key

	change fast_ingest.deduplicate "$1"
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
		status=$(sql 'SELECT sum(staged), sum(accepted), sum(committed), sum(duplicate) + sum(discarded) + sum(dead_lettered) FROM fi_status()')
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

# run_wrk PORT SECONDS [TIME]: events of that Unix time on, or of one in 2024
run_wrk()
{
	line=$(timeout $(($2 + 20)) wrk -t1 -c"$connections" -d"$2s" -s "$here/events.lua" \
		"http://127.0.0.1:$1/events" -- "$wrk_run" "${@:3}" | grep '^wrk requests=') || die "wrk failed"
	wrk_run=$((wrk_run + 1))
	take_line
	if [ "$refused" != 0 ] || [ "$(value socket_errors "$line")" != 0 ]; then
		problem "not every answer was a 202: $line"
	fi
}

# run_client PORT REQUESTS EVENTS CONNECTIONS [OPTION...]
run_client()
{
	line=$("$work/bin/event_client" -p "$1" -n "$2" -e "$3" -c "$4" -f "$next_request" -t 120 "${@:5}") ||
		problem "not every answer was a 202: ${line:-no result}"
	next_request=$((next_request + $2))
	[ -n "$line" ] || die "event_client failed"
	take_line
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

print_head()
{
	echo
	printf '%-46s %10s  %-19s %-18s %6s  %s\n' figure median 'min - max' target ratio met
}
