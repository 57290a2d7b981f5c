# pairs.sh: what a second pair of listener and flusher does: the part pairs.
# Sourced by run.sh after lib.sh and ingest.sh.
# shellcheck shell=bash

# set_listeners N: restart with so many pairs
set_listeners()
{
	sql "ALTER SYSTEM SET fast_ingest.listeners = $1"
	sql "ALTER SYSTEM SET fast_ingest.deduplicate = 'content'"
	"$BINDIR/pg_ctl" -D "$work/data" -l "$work/log" -t 30 -s -m fast restart ||
		die "the server did not restart: $(tail -n 5 "$work/log")"
	wait_ready
}

# measure_pairs N
measure_pairs()
{
	local events=$((BULK_EVENTS * 1000)) single single_p99

	set_listeners "$1"
	run_wrk "$http_port" 1
	clean_table
	mark_committed
	run_wrk "$http_port" "$SECONDS_PER_ROUND"
	count_committed "$requests" $((requests + connections))
	single=$(calc "$stored / $seconds")
	single_p99=$p99
	record "pairs_$1_single" "$single"
	record "pairs_$1_single_p99" "$p99"

	clean_table
	mark_committed
	run_client "$http_port" "$BULK_EVENTS" 1000 "$BULK_CONNECTIONS"
	count_committed "$events" "$events"
	rate=$(calc "$events / $seconds")
	record "pairs_$1_bulk" "$rate"
	printf '  %d %9.0f single events/s   p99 %6.2f ms   %9.0f bulk events/s\n' "$1" "$single" "$single_p99" "$rate"
}

bench_pairs()
{
	local round n

	echo
	echo "pairs: 1 and 2 listeners; single events as above over $connections connections, bulk of 1,000 over $BULK_CONNECTIONS, deduplicate = content"
	for ((round = 1; round <= ROUNDS; round++)); do
		echo " round $round"
		for n in 1 2; do
			measure_pairs "$n"
		done
	done
	set_listeners 1
}

pairs_figures()
{
	figure 'pairs, 1 listener, single, events/s' pairs_1_single 0
	figure 'pairs, 2 listeners, single, events/s' pairs_2_single 0
	figure 'pairs, 1 listener, single, p99 ms' pairs_1_single_p99 2
	figure 'pairs, 2 listeners, single, p99 ms' pairs_2_single_p99 2
	figure 'pairs, 1 listener, bulk, events/s' pairs_1_bulk 0
	figure 'pairs, 2 listeners, bulk, events/s' pairs_2_bulk 0
}
