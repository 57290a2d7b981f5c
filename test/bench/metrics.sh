# metrics.sh: how fast queries are answered: the part metrics.
# Sourced by run.sh after lib.sh; rollup.sh uses its loader, too.
# shellcheck shell=bash

metrics_users=1000000
metrics_days=30
live_rate=20000             # events a second while queries are asked
live_bulk=100               # events of a request then
calls=20                    # of a query that count, after 3 that do not
raw_calls=3                 # of the same on the raw rows

# ---------------------------------------------------------------- the data

# No events, no rollup, no user that was seen before
new_extension()
{
	sql 'DROP EXTENSION fast_ingest'
	sql 'CREATE EXTENSION fast_ingest'
	wait_ready
	mark_committed
}

# run_metrics_client EVENTS [OPTION...]: bulk requests over HTTP of events of many users
run_metrics_client()
{
	run_client "$http_port" $(($1 / 1000)) 1000 8 -u "$metrics_users" -t $((60 + $1 / 5000)) "${@:2}"
}

# Merge all deltas
refresh_all()
{
	local i

	for ((i = 0; i < 100; i++)); do
		sql 'SELECT fi_refresh()' >/dev/null
		if [ -z "$(sql 'SELECT 1 FROM fast_ingest.rollup_delta LIMIT 1')" ]; then
			return
		fi
	done
	die "there are deltas left after $i refreshes"
}

# Wait until autovacuum has done what the last part left to it
wait_quiet()
{
	local i

	sql 'CHECKPOINT'
	for ((i = 0; i < 600; i++)); do
		if [ -z "$(sql "SELECT 1 FROM pg_stat_activity WHERE backend_type = 'autovacuum worker'")" ]; then
			return
		fi
		sleep 0.1
	done
	echo "  autovacuum is still at work"
}

# load_days EVENTS [OPTION...]: over the metrics_days before today, one after the other
load_days()
{
	local events=$(($1 / 1000 * 1000)) load refresh vacuum

	midnight=$(date -u -d 'today 00:00' +%s)
	new_extension
	# rows of days that are over are written anew by each refresh that adds to them: few large ones
	change fast_ingest.refresh_backlog 200000
	change fast_ingest.refresh_backlog_deltas 0
	change fast_ingest.refresh_backlog_age 10min
	run_metrics_client "$events" -s $((midnight - metrics_days * 86400)) -d $((metrics_days * 86400)) "${@:2}"
	load=$seconds
	SECONDS=0
	refresh_all
	refresh=$SECONDS
	change_back fast_ingest.refresh_backlog fast_ingest.refresh_backlog_deltas fast_ingest.refresh_backlog_age
	count_committed "$events" "$events"
	SECONDS=0
	sql 'VACUUM ANALYZE'
	vacuum=$SECONDS
	printf '  loaded in %.1f s, %.0f events/s; refreshed after it in %d s; vacuumed in %d s\n' \
		"$load" "$(calc "$events / $load")" "$refresh" "$vacuum"
}

# ---------------------------------------------------------------- the queries

# instant SECONDS: an SQL literal
instant()
{
	date -u -d "@$1" "+timestamptz '%Y-%m-%d %H:%M:%S+00'"
}

# ask NAME TITLE TARGET FROM TO GROUP_BY KEY: append a query. KEY is the group
# in SQL for the raw rows.
ask()
{
	local from to grouping=

	from=$(instant "$4")
	to=$(instant "$5")
	if [ "$6" != NULL ]; then
		grouping='GROUP BY 1'
	fi
	q_name+=("$1")
	q_title+=("$2")
	q_target+=("$3")
	q_arguments+=("'product_view', $from, $to, $6")
	q_raw+=("SELECT $7, count(*), count(DISTINCT user_id) FROM fast_ingest.events
		WHERE event_name = 'product_view' AND ts >= $from AND ts < $to $grouping")
}

make_queries()
{
	local day=86400
	local start=$((midnight - metrics_days * day))
	local hour="to_char(date_trunc('hour', ts AT TIME ZONE 'UTC'), 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"

	q_name=() q_title=() q_target=() q_arguments=() q_raw=()
	ask day '1 day' 1 $((midnight - day)) "$midnight" NULL NULL
	ask hours '7 days hourly' 3 $((midnight - 7 * day)) "$midnight" "'hour'" "$hour"
	ask month '30 days' 3 "$start" "$midnight" NULL NULL
	ask channels '30 days by channel' 5 "$start" "$midnight" "'channel'" channel
	ask ragged '30 days less 2 x 17 s' 8 $((start + 17)) $((midnight - 17)) NULL NULL
}

# compare NAME ARGUMENTS RAW: the answer has to be that of the raw rows
compare()
{
	local ours raw

	ours=$(sql "SELECT * FROM fi_metrics($2) WHERE total_events > 0" | sort)
	raw=$(sql "SELECT * FROM ($3) AS raw (group_key, total_events, unique_users) WHERE total_events > 0" | sort)
	if [ "$ours" != "$raw" ]; then
		problem "wrong answer to $1: $(diff <(echo "$ours") <(echo "$raw") | head -n 6)"
	fi
}

# time_calls NAME CALLS WARM STATEMENT: record the milliseconds of each call, in one session
time_calls()
{
	local i

	{
		echo '\o /dev/null'
		for ((i = 0; i < $3; i++)); do echo "$4;"; done
		echo '\timing on'
		for ((i = 0; i < $2; i++)); do echo "$4;"; done
	} | timeout 600 "$BINDIR/psql" -X -q -v ON_ERROR_STOP=1 |
		awk -v name="$1" '/^Time:/ { print name, $2 }' >>"$work/figures" || die "$1: no answer"
}

# measure_queries LABEL
measure_queries()
{
	local i name plan

	wait_quiet
	printf '  %-22s %14s %14s %8s  %s\n' '' 'fi_metrics ms' 'raw rows ms' 'times' 'read'
	for i in "${!q_name[@]}"; do
		name=$1_${q_name[i]}
		compare "${q_title[i]}" "${q_arguments[i]}" "${q_raw[i]}"
		time_calls "metrics_$name" "$calls" 3 "SELECT * FROM fi_metrics(${q_arguments[i]})"
		time_calls "raw_$name" "$raw_calls" 0 "${q_raw[i]}"
		plan=$(sql "SELECT string_agg(source || ' ' || rows_read, ', ') FROM fi_metrics_sources(${q_arguments[i]})")
		printf '  %-22s %14.2f %14.2f %8.1f  %s\n' "${q_title[i]}" "$(median "metrics_$name")" \
			"$(median "raw_$name")" "$(calc "$(median "raw_$name") / $(median "metrics_$name")")" "$plan"
	done
}

# ---------------------------------------------------------------- bytes

print_bytes()
{
	local raw heap rollup users

	raw=$(sql "SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('fast_ingest.events')")
	heap=$(sql "SELECT sum(pg_table_size(relid)) FROM pg_partition_tree('fast_ingest.events')")
	rollup=$(sql "SELECT sum(pg_total_relation_size(oid)) FROM pg_class
		WHERE relnamespace = 'fast_ingest'::regnamespace AND relkind = 'r' AND relname LIKE 'rollup%'")
	users=$(sql "SELECT pg_total_relation_size('fast_ingest.users')")
	record rollup_share "$(calc "100 * $rollup / $raw")"
	record rollup_users_share "$(calc "100 * ($rollup + $users) / $raw")"

	echo "  MB: raw rows $((raw / 1000000)), without indexes $((heap / 1000000)); rollup $((rollup / 1000000)); users $((users / 1000000))"
	sql "SELECT format('    %-14s %10s', relname, pg_total_relation_size(oid)) FROM pg_class
		WHERE relnamespace = 'fast_ingest'::regnamespace AND relkind = 'r' AND relname LIKE 'rollup%' ORDER BY 1"
	echo "  rows of the rollup and bytes of their user sets and minutes, by breakdown and level (1 minute, 2 hour, 3 day):"
	sql "SELECT format('    %s %s: %8s rows %10s %10s', breakdown, level, count(*),
			coalesce(sum(pg_column_size(users)), 0), coalesce(sum(pg_column_size(minutes)), 0))
		FROM fast_ingest.rollup GROUP BY breakdown, level ORDER BY breakdown, level"
}

# ---------------------------------------------------------------- under load

# paced_queries LABEL: ask all in turn, with pauses, for METRICS_SECONDS; record the
# 95th percentiles
paced_queries()
{
	local i round n p95

	{
		echo '\o /dev/null'
		for i in "${!q_name[@]}"; do
			for round in 1 2 3; do echo "SELECT * FROM fi_metrics(${q_arguments[i]});"; done
		done
		echo "SELECT clock_timestamp() + interval '$METRICS_SECONDS s' AS deadline \\gset"
		for ((round = 0; round < 20 * METRICS_SECONDS; round++)); do
			echo "SELECT clock_timestamp() >= :'deadline' AS over \\gset"
			printf '\\if :over\n\\q\n\\endif\n'
			for i in "${!q_name[@]}"; do
				echo 'SELECT pg_sleep(0.01);'
				echo '\timing on'
				echo "\\echo query ${q_name[i]}"
				echo "SELECT * FROM fi_metrics(${q_arguments[i]});"
				echo '\timing off'
			done
		done
	} >"$work/paced.sql"
	timeout $((METRICS_SECONDS + 120)) "$BINDIR/psql" -X -q -v ON_ERROR_STOP=1 -f "$work/paced.sql" |
		awk '$1 == "query" { name = $2 } $1 == "Time:" { print name, $2 }' >"$work/paced" ||
		die "queries were not answered"

	for i in "${!q_name[@]}"; do
		n=$(grep -c "^${q_name[i]} " "$work/paced" || true)
		p95=$(awk -v name="${q_name[i]}" '$1 == name { print $2 }' "$work/paced" | sort -g |
			awk '{ x[NR] = $1 } END { print x[int(NR * 0.95 + 0.999)] }')
		record "$1_${q_name[i]}" "$p95"
		printf '  %-8s %-22s %5d calls, p95 %8.2f ms\n' "$1" "${q_title[i]}" "$n" "$p95"
	done
}

# The same queries while events come in, and one more whose range is still growing
measure_under_load()
{
	local seconds_allowed=$((METRICS_SECONDS + 120))
	local requests=$((live_rate * seconds_allowed / live_bulk))
	local start=$((midnight - metrics_days * 86400)) end=$((midnight + 2 * 86400)) rate
	local growing="SELECT NULL, count(*), count(DISTINCT user_id) FROM fast_ingest.events WHERE event_name = 'product_view'"

	ask growing '30 days until now' - "$start" "$end" NULL NULL
	echo "p95 of the queries in turn for $METRICS_SECONDS s in one session, with pauses of 10 ms; then while $live_rate events/s come in, $live_bulk a request"
	wait_quiet
	paced_queries quiet

	"$work/bin/event_client" -p "$http_port" -n "$requests" -e "$live_bulk" -c 8 -f "$next_request" \
		-u "$metrics_users" -r "$live_rate" -t $((seconds_allowed + 10)) >"$work/live" &
	client_pid=$!
	next_request=$((next_request + requests))
	sleep 3
	paced_queries load
	kill "$client_pid" || problem "the events ended before the queries"
	wait "$client_pid" || problem "not every answer was a 202: $(cat "$work/live")"
	client_pid=
	line=$(cat "$work/live")
	[ -n "$line" ] || die "event_client failed"
	take_line
	rate=$(calc "$(value accepted "$line") / $seconds")
	record load_rate "$rate"
	printf '  %.0f events/s, answered within p50 %.2f ms, p99 %.2f ms; %s delta rows are left\n' "$rate" "$p50" "$p99" \
		"$(sql 'SELECT count(*) FROM fast_ingest.rollup_delta')"
	compare 'what came in' "'product_view', NULL::timestamptz" "$growing"
}

bench_metrics()
{
	set_deduplicate content
	if [ "$METRICS_SMALL" != 0 ]; then
		echo
		echo "metrics: $METRICS_SMALL events over $metrics_days days, 10 names, 5 channels, $metrics_users users; one name; medians of $calls warm calls"
		load_days "$METRICS_SMALL"
		make_queries
		measure_queries small
	fi
	echo
	echo "metrics: $METRICS_EVENTS events over $metrics_days days, 10 names, 5 channels, $metrics_users users; one name; medians of $calls warm calls"
	load_days "$METRICS_EVENTS"
	make_queries
	measure_queries large
	print_bytes
	measure_under_load
}

# ---------------------------------------------------------------- the report

metrics_figures()
{
	local i name

	wanted metrics || return 0
	for i in "${!q_name[@]}"; do
		name=${q_name[i]}
		[ "$name" != growing ] || continue
		figure "metrics, ${q_title[i]}, ms" "metrics_large_$name" 2 most "${q_target[i]}"
		figure "... raw rows, ms" "raw_large_$name" 1
		figure "... of $METRICS_SMALL events, ms" "metrics_small_$name" 2 most "${q_target[i]}"
		figure "... raw rows, ms" "raw_small_$name" 1
	done
	for i in "${!q_name[@]}"; do
		name=${q_name[i]}
		figure "p95, ${q_title[i]}, quiet, ms" "quiet_$name" 2
		figure "... with $live_rate events/s, ms" "load_$name" 2 most \
			"$(awk -v quiet="$(median "quiet_$name")" 'BEGIN { printf "%.2f", (quiet > 5 ? 2 * quiet : 10) }')"
	done
	figure "... events/s that came in" load_rate 0 least $((live_rate * 98 / 100))
	figure 'rollup, % of the raw bytes' rollup_share 2 most 3
	figure 'rollup and users, % of the raw bytes' rollup_users_share 2 most 3
}
