# ingest.sh: how fast events come in: the parts single, bulk, latency and memory.
# Sourced by run.sh after lib.sh.
# shellcheck shell=bash

latency_requests=2000
columns='event_name, channel, user_id, ts, campaign_id, site_id, path, tags, metadata'

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

ingest_figures()
{
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
}
