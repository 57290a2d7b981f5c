# rollup.sh: what the rollup costs: the parts refresh and trigger.
# Sourced by run.sh after lib.sh and metrics.sh.
# shellcheck shell=bash

refresh_rounds=3

# ---------------------------------------------------------------- refresh

# load_minute EVENTS [OPTION...]: events of the next minute that has none yet
load_minute()
{
	local now

	now=$(date +%s)
	minute=$((now / 60 > last_minute ? now / 60 : last_minute + 1))
	last_minute=$minute
	run_metrics_client "$1" -s $((minute * 60)) -d 60 "${@:2}"
}

# measure_refresh FIGURE: record wall and CPU seconds of one refresh of all deltas
measure_refresh()
{
	local wall before after cpu range
	local ticks="SELECT split_part(stat, ' ', 14)::bigint + split_part(stat, ' ', 15)::bigint AS ticks
		FROM pg_read_file('/proc/self/stat') AS stat"

	sql 'CHECKPOINT'
	{
		echo "$ticks \\gset"
		printf '\\echo before :ticks\n\\timing on\n\\o /dev/null\nSELECT fi_refresh();\n\\timing off\n'
		echo "$ticks \\gset"
		echo '\echo after :ticks'
	} | timeout 600 "$BINDIR/psql" -X -q -v ON_ERROR_STOP=1 >"$work/refresh" || die "the refresh failed"
	wall=$(awk '$1 == "Time:" { printf "%.3f", $2 / 1000 }' "$work/refresh")
	before=$(awk '$1 == "before" { print $2 }' "$work/refresh")
	after=$(awk '$1 == "after" { print $2 }' "$work/refresh")
	cpu=$(calc "($after - $before) / $(getconf CLK_TCK)")
	record "$1_wall" "$wall"
	record "$1_cpu" "$cpu"
	printf '  %-12s %8.2f s, of them %.2f s on a core\n' "$1" "$wall" "$cpu"

	if [ -n "$(sql 'SELECT 1 FROM fast_ingest.rollup_delta LIMIT 1')" ]; then
		problem "a refresh left deltas"
	fi
	range="$(instant $((minute * 60))), $(instant $((minute * 60 + 60)))"
	compare 'the minute' "'product_view', $range" "SELECT NULL, count(*), count(DISTINCT user_id) FROM fast_ingest.events
		WHERE event_name = 'product_view' AND ts >= ${range%%, *} AND ts < ${range##*, }"
}

bench_refresh()
{
	local round

	last_minute=0
	echo
	echo "refresh: one fi_refresh() of $REFRESH_EVENTS events of one minute in bulk requests; of $metrics_users users, all new before the first"
	change fast_ingest.refresh_backlog 0
	set_deduplicate content
	new_extension
	# every user once, which fills fast_ingest.users
	load_minute "$metrics_users" -o
	measure_refresh refresh_new
	for ((round = 1; round <= refresh_rounds; round++)); do
		load_minute "$REFRESH_EVENTS"
		measure_refresh refresh
	done
	sql 'ALTER SYSTEM RESET fast_ingest.refresh_backlog'
	sql 'SELECT pg_reload_conf()' >/dev/null
}

# ---------------------------------------------------------------- triggers

# measure_trigger single|bulk on|off
measure_trigger()
{
	local events=$((BULK_EVENTS * 1000)) left=

	# TRUNCATE empties the rollup where the triggers are on
	sql 'ALTER TABLE fast_ingest.events ENABLE TRIGGER USER'
	clean_table
	if [ "$2" = off ]; then
		sql 'ALTER TABLE fast_ingest.events DISABLE TRIGGER USER'
	fi
	mark_committed
	if [ "$1" = single ]; then
		run_wrk "$http_port" "$SECONDS_PER_ROUND" "$(date +%s)"
		count_committed "$requests" $((requests + connections))
	else
		run_metrics_client "$events"
		count_committed "$events" "$events"
	fi
	rate=$(calc "$stored / $seconds")
	record "trigger_$1_$2" "$rate"
	if [ "$2" = on ]; then
		left="$(sql 'SELECT count(*) FROM fast_ingest.rollup_delta') delta rows left"
		compare "$1" "'product_view', NULL::timestamptz" \
			"SELECT NULL, count(*), count(DISTINCT user_id) FROM fast_ingest.events WHERE event_name = 'product_view'"
	fi
	printf '  %-6s %-3s %9.0f events/s   %s\n' "$1" "$2" "$rate" "$left"
}

bench_trigger()
{
	local round kind variant order
	local -A rates

	echo
	echo "trigger: events of now, deduplicate = content, with the rollup (triggers and refreshes) and with the triggers disabled"
	set_deduplicate content
	new_extension
	run_wrk "$http_port" 1 "$(date +%s)"
	for ((round = 1; round <= ROUNDS; round++)); do
		echo " round $round"
		order='off on'
		if ((round % 2 == 0)); then
			order='on off'
		fi
		for kind in single bulk; do
			for variant in $order; do
				measure_trigger "$kind" "$variant"
				rates[$variant]=$rate
			done
			record "trigger_${kind}_ratio" "$(calc "${rates[on]} / ${rates[off]}")"
		done
	done
	sql 'ALTER TABLE fast_ingest.events ENABLE TRIGGER USER'
}

# ---------------------------------------------------------------- the report

rollup_figures()
{
	figure 'refresh, wall s' refresh_wall 2
	figure 'refresh, CPU s' refresh_cpu 2 most 5
	figure 'refresh, every user new, wall s' refresh_new_wall 2
	figure 'refresh, every user new, CPU s' refresh_new_cpu 2
	figure 'single, triggers off, events/s' trigger_single_off 0
	figure 'single, triggers on, events/s' trigger_single_on 0
	figure 'single, triggers on, of off' trigger_single_ratio 3 least 0.75
	figure 'bulk, triggers off, events/s' trigger_bulk_off 0
	figure 'bulk, triggers on, events/s' trigger_bulk_on 0
	figure 'bulk, triggers on, of off' trigger_bulk_ratio 3 least 0.75
}
