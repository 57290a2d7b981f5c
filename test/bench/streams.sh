# streams.sh: what a stream carries, how late it is, and what it costs: the part streams.
# Sourced by run.sh after lib.sh, ingest.sh and stream_targets.sh.
#
# Targets: "discard" is null_server as a webhook's receiver, which costs next to nothing;
# "clickhouse" is Debian's 18.16; "modern" is a ClickHouse of today in the library chdb. A target
# shares the machine's cores with PostgreSQL and with the load.
# shellcheck shell=bash

stream_rates='1000 20000'   # events a second, of the delay
stream_seconds=15           # of one measurement of the delay
stream_limit=300            # seconds that anything is waited for

stream_part()
{
	case ",$STREAM_PARTS," in
		*",$1,"*) return 0 ;;
		*) return 1 ;;
	esac
}

# ---------------------------------------------------------------- streams

# create_stream TARGET [ARGUMENTS]: a new stream to it, once it runs. Sets stream_pid.
create_stream()
{
	local arguments state i

	case $1 in
		discard) arguments="'webhook', 'http://127.0.0.1:$null_port/events'" ;;
		dead) arguments="'webhook', 'http://127.0.0.1:$(free_port)/events'" ;;
		hanging) arguments="'webhook', 'http://127.0.0.1:$hanging_port/events'" ;;
		*)
			new_table "$1"
			arguments="'clickhouse', 'http://127.0.0.1:$(port_of "$1")/', target => 'events'"
			;;
	esac
	sql "SELECT fi_create_stream('bench', $arguments, max_retained_wal => '50GB'${2:+, $2})" >/dev/null
	for ((i = 0; i < stream_limit * 10; i++)); do
		state=$(sql "SELECT state FROM fi_streams() WHERE slot_name IN (SELECT slot_name FROM pg_replication_slots WHERE active)")
		case "$1 $state" in
			*" running" | "dead retrying" | "hanging retrying")
				stream_pid=$(sql 'SELECT pid FROM fi_streams()')
				return
				;;
		esac
		sleep 0.1
	done
	die "the stream to $1 does not run: $(sql "SELECT state, detail, last_error FROM fi_streams()")"
}

drop_stream()
{
	local i

	sql "SELECT fi_drop_stream('bench')" >/dev/null
	for ((i = 0; i < stream_limit * 10; i++)); do
		if [ "$(sql 'SELECT count(*) FROM pg_replication_slots')" = 0 ]; then
			return
		fi
		sleep 0.1
	done
	die "the slot of a dropped stream is still there"
}

# cpu_of PID: seconds of processor time that it has used
cpu_of()
{
	awk -v ticks="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); print ($12 + $13) / ticks }' "/proc/$1/stat"
}

# wait_sent EVENTS: until the stream says that they have been acknowledged
wait_sent()
{
	local i

	for ((i = 0; i < stream_limit * 20; i++)); do
		if [ "$(sql 'SELECT events_sent FROM fi_streams()')" -ge "$1" ]; then
			return
		fi
		sleep 0.05
	done
	die "not sent within $stream_limit seconds: $(sql 'SELECT state, events_sent, lag_events, detail, last_error FROM fi_streams()')"
}

# wait_arrived TARGET EVENTS: until the target has them, and each once
wait_arrived()
{
	local i rows=

	if [ "$1" = discard ]; then
		wait_sent "$2"
		return
	fi
	for ((i = 0; i < stream_limit * 50; i++)); do
		rows=$(ask_target "$1" 'SELECT count() FROM events')
		if [ "$rows" -ge "$2" ]; then
			break
		fi
		sleep 0.02
	done
	arrived=$(date +%s.%N)
	if [ "$(ask_target "$1" 'SELECT count(), uniqExact(_lsn, _n) FROM events')" != "$2"$'\t'"$2" ]; then
		problem "$1 has not $2 events, but $(ask_target "$1" 'SELECT count(), uniqExact(_lsn, _n) FROM events')"
	fi
}

# ---------------------------------------------------------------- throughput

# measure_throughput TARGET: while load comes in, and then what was left while it was paused
measure_throughput()
{
	local events=$((STREAM_EVENTS * 1000)) begun cpu

	clean_table
	mark_committed
	create_stream "$1"
	cpu=$(cpu_of "$stream_pid")
	begun=$(date +%s.%N)
	run_client "$http_port" "$STREAM_EVENTS" 1000 "$BULK_CONNECTIONS"
	record "stream_$1_ingested" "$(calc "$events / $seconds")"
	wait_arrived "$1" "$events"
	[ "$1" != discard ] || arrived=$(date +%s.%N)
	rate=$(calc "$events / ($arrived - $begun)")
	cpu=$(calc "($(cpu_of "$stream_pid") - $cpu) / $events * 1e6")
	record "stream_$1" "$rate"
	record "stream_$1_cpu" "$cpu"
	printf '  %-10s %9.0f events/s came in   %9.0f events/s arrived   %6.2f us of processor time an event\n' \
		"$1" "$(calc "$events / $seconds")" "$rate" "$cpu"
	count_committed "$events" "$events"

	sql "SELECT fi_pause_stream('bench')" >/dev/null
	run_client "$http_port" "$STREAM_EVENTS" 1000 "$BULK_CONNECTIONS"
	begun=$(date +%s.%N)
	sql "SELECT fi_resume_stream('bench')" >/dev/null
	wait_arrived "$1" $((2 * events))
	[ "$1" != discard ] || arrived=$(date +%s.%N)
	rate=$(calc "$events / ($arrived - $begun)")
	record "stream_$1_catch_up" "$rate"
	printf '  %-10s %9.0f events/s arrived after a pause\n' "$1" "$rate"
	drop_stream
}

bench_stream_throughput()
{
	local round target

	echo
	echo "streams: $STREAM_EVENTS requests of 1,000 events over $BULK_CONNECTIONS connections, until the target has them all"
	for ((round = 1; round <= STREAM_ROUNDS; round++)); do
		echo " round $round"
		for target in discard $(engines); do
			measure_throughput "$target"
		done
	done
}

# ---------------------------------------------------------------- delay

# watch_target ENGINE: print the time and the number of events there, about each 10 ms
watch_target()
{
	exec timeout 120 perl -MHTTP::Tiny -MTime::HiRes=time,sleep -e '
		$| = 1;
		my ($url, $last) = ($ARGV[0], -1);
		my $http = HTTP::Tiny->new;
		for (;;)
		{
			my $rows = $http->post($url, { content => "SELECT count() FROM events" })->{content};
			printf "%.6f %d\n", time, $last = $rows if $rows =~ /^\d+$/ && $rows != $last;
			sleep 0.01;
		}' "http://127.0.0.1:$(port_of "$1")/"
}

# measure_delay ENGINE RATE INTERVAL: how long after the start of its transaction an event can be
# seen in the target. One flusher commits: the nth event by ingested_at is the nth that arrives.
measure_delay()
{
	local bulk=$(($2 / 200 > 0 ? $2 / 200 : 1)) events

	clean_table
	mark_committed
	create_stream "$1" "flush_interval => '$3 ms'"
	watch_target "$1" >"$work/arrivals" &
	client_pid=$!
	run_client "$http_port" $(($2 * stream_seconds / bulk)) "$bulk" 8 -r "$2"
	events=$(($2 * stream_seconds / bulk * bulk))
	wait_arrived "$1" "$events"
	sleep 0.1
	kill "$client_pid" 2>/dev/null || true
	wait "$client_pid" 2>/dev/null || true
	client_pid=
	sql "COPY (SELECT extract(epoch FROM ingested_at) FROM fast_ingest.events ORDER BY ingested_at) TO STDOUT" |
		awk -v file="$work/arrivals" '
			BEGIN { more = (getline line <file) > 0; split(line, at, " ") }
			{
				while (more && at[2] < NR) { more = (getline line <file) > 0; split(line, at, " ") }
				if (more) printf "%.3f\n", (at[1] - $1) * 1000
			}' | sort -g >"$work/delays"
	p50=$(awk '{ x[NR] = $1 } END { print x[int((NR + 1) / 2)] }' "$work/delays")
	p99=$(awk '{ x[NR] = $1 } END { print x[int(NR * 0.99)] }' "$work/delays")
	[ "$(wc -l <"$work/delays")" = "$events" ] ||
		problem "$1: $(wc -l <"$work/delays") of $events events were seen arriving"
	record "stream_$1_delay_$2_$3_p50" "$p50"
	record "stream_$1_delay_$2_$3_p99" "$p99"
	printf '  %-10s %6d events/s, flush_interval %5d ms   p50 %8.1f ms   p99 %8.1f ms\n' "$1" "$2" "$3" "$p50" "$p99"
	drop_stream
}

bench_stream_delay()
{
	local round engine rate interval

	echo
	echo "streams: from the start of an event's transaction until it can be seen in the target, which is asked each 10 ms"
	for ((round = 1; round <= STREAM_ROUNDS; round++)); do
		echo " round $round"
		for engine in $(engines); do
			for rate in $stream_rates; do
				for interval in 1000 100; do
					measure_delay "$engine" "$rate" "$interval"
				done
			done
		done
	done
}

# ---------------------------------------------------------------- ingestion beside a stream

# measure_beside none|discard|clickhouse|modern|dead|hanging
measure_beside()
{
	local events=$((STREAM_BULK * 1000))

	clean_table
	mark_committed
	[ "$1" = none ] || create_stream "$1"
	run_wrk "$http_port" "$SECONDS_PER_ROUND"
	count_committed "$requests" $((requests + connections))
	beside_single=$(calc "$stored / $seconds")
	beside_p99=$p99
	[ "$1" != discard ] || wait_sent "$stored"

	clean_table
	mark_committed
	run_client "$http_port" "$STREAM_BULK" 1000 "$BULK_CONNECTIONS"
	count_committed "$events" "$events"
	beside_bulk=$(calc "$events / $seconds")
	[ "$1" = none ] || drop_stream
	record "beside_$1_single" "$beside_single"
	record "beside_$1_p99" "$beside_p99"
	record "beside_$1_bulk" "$beside_bulk"
	printf '  %-10s %9.0f single events/s   p99 %6.2f ms   %9.0f bulk events/s\n' \
		"$1" "$beside_single" "$beside_p99" "$beside_bulk"
}

bench_stream_beside()
{
	local round variant
	local -a variants
	local -A single bulk

	read -ra variants <<<"none discard $(engines) dead hanging"
	echo
	echo "streams: what comes in beside a stream to each target; single events over $connections connections, bulk of 1,000 over $BULK_CONNECTIONS"
	run_wrk "$http_port" 1
	for ((round = 1; round <= STREAM_ROUNDS; round++)); do
		echo " round $round"
		for variant in "${variants[@]}"; do
			measure_beside "$variant"
			single[$variant]=$beside_single
			bulk[$variant]=$beside_bulk
		done
		for variant in "${variants[@]:1}"; do
			record "beside_${variant}_single_ratio" "$(calc "${single[$variant]} / ${single[none]}")"
			record "beside_${variant}_bulk_ratio" "$(calc "${bulk[$variant]} / ${bulk[none]}")"
		done
		# the next round begins with another one, so that none always runs on a fuller disk
		variants=(none "${variants[@]:2}" "${variants[1]}")
	done
}

# ---------------------------------------------------------------- memory

# peak_of PID FILE: write the most anonymous memory in kB that the process has had, until it ends
peak_of()
{
	exec timeout 900 perl -MTime::HiRes=sleep -e '
		my ($pid, $file, $peak) = (@ARGV, 0);
		while (open my $status, "<", "/proc/$pid/status")
		{
			my ($now) = join("", <$status>) =~ /^RssAnon:\s*(\d+)/m;
			if (defined $now && $now > $peak) { $peak = $now; open my $out, ">", $file; print $out $peak; close $out }
			sleep 0.01;
		}' "$1" "$2"
}

bench_stream_memory()
{
	local step kb base=0 growth=0 rows=$((STREAM_COPY_ROWS / 1000 * 1000)) pid

	echo
	echo "streams: anonymous memory of the stream worker after each million of bulk events, target discard"
	clean_table
	mark_committed
	create_stream discard
	pid=$stream_pid
	for ((step = 1; step <= MEMORY_STEPS; step++)); do
		clean_table
		run_client "$http_port" 1000 1000 "$BULK_CONNECTIONS"
		wait_sent $((step * 1000000))
		kb=$(memory_of "$pid")
		printf ' %7d %12d kB\n' "$step" "$kb"
		if [ "$step" -le 2 ]; then
			base=$kb
		else
			growth=$(largest "$growth" $((kb - base)))
		fi
	done
	record stream_memory "$growth"

	echo "streams: the most anonymous memory of the stream worker over a COPY of $rows rows in one transaction"
	clean_table
	"$work/bin/event_client" -w -n $((rows / 1000)) -e 1000 -f "$next_request" >"$work/rows"
	next_request=$((next_request + rows / 1000))
	base=$(memory_of "$pid")
	echo 0 >"$work/peak"
	peak_of "$pid" "$work/peak" &
	client_pid=$!
	sql "COPY fast_ingest.events ($columns) FROM STDIN" <"$work/rows"
	wait_sent $((MEMORY_STEPS * 1000000 + rows))
	kb=$(cat "$work/peak")
	kill "$client_pid" 2>/dev/null || true
	wait "$client_pid" 2>/dev/null || true
	client_pid=
	rm -f "$work/rows"
	record stream_memory_copy $((kb - base))
	printf '  %d kB before, %d kB at most; decoding wrote %s to disk\n' "$base" "$kb" \
		"$(sql "SELECT pg_size_pretty(sum(spill_bytes)) FROM pg_stat_replication_slots")"
	[ "$(sql 'SELECT pid FROM fi_streams()')" = "$pid" ] || problem "the stream worker was restarted on the way"
	drop_stream
}

# ---------------------------------------------------------------- all of it

# restart_with SETTING=VALUE...: ALTER SYSTEM and a restart
restart_with()
{
	local setting

	for setting in "$@"; do
		sql "ALTER SYSTEM SET ${setting%%=*} = '${setting#*=}'"
	done
	"$BINDIR/pg_ctl" -D "$work/data" -l "$work/log" -t 60 -s -m fast restart ||
		die "the server did not restart: $(tail -n 5 "$work/log")"
	wait_ready
}

bench_streams()
{
	restart_with wal_level=logical fast_ingest.max_streams=1 fast_ingest.deduplicate=content
	start_clickhouse
	start_modern
	start_hanging
	[ -n "$clickhouse_port" ] || echo "streams: no ClickHouse 18.16 here (Debian's clickhouse-server)"
	[ -n "$modern_port" ] || echo "streams: no ClickHouse of today here (npm chdb)"
	if stream_part throughput; then bench_stream_throughput; fi
	if stream_part delay; then bench_stream_delay; fi
	if stream_part beside; then bench_stream_beside; fi
	if stream_part memory; then bench_stream_memory; fi
	restart_with wal_level=replica fast_ingest.max_streams=0
}

# ---------------------------------------------------------------- the report

streams_figures()
{
	local target rate interval

	for target in discard clickhouse modern; do
		figure "stream to $target, came in, events/s" "stream_${target}_ingested" 0
		figure "stream to $target, arrived, events/s" "stream_$target" 0
		figure "stream to $target, after a pause, events/s" "stream_${target}_catch_up" 0
		figure "stream to $target, CPU us an event" "stream_${target}_cpu" 2
	done
	for target in clickhouse modern; do
		for rate in $stream_rates; do
			for interval in 1000 100; do
				figure "delay $target, $rate/s, flush $interval ms, p50 ms" "stream_${target}_delay_${rate}_${interval}_p50" 0
				figure "delay $target, $rate/s, flush $interval ms, p99 ms" "stream_${target}_delay_${rate}_${interval}_p99" 0
			done
		done
	done
	figure 'single, no stream, events/s' beside_none_single 0
	figure 'single, no stream, p99 ms' beside_none_p99 2
	figure 'bulk, no stream, events/s' beside_none_bulk 0
	for target in discard clickhouse modern dead hanging; do
		figure "single, stream to $target, events/s" "beside_${target}_single" 0
		figure "single, stream to $target, p99 ms" "beside_${target}_p99" 2
		figure "single, stream to $target, of none" "beside_${target}_single_ratio" 3 least 0.85
		figure "bulk, stream to $target, events/s" "beside_${target}_bulk" 0
		figure "bulk, stream to $target, of none" "beside_${target}_bulk_ratio" 3 least 0.85
	done
	figure 'memory, stream worker, growth in kB' stream_memory 0 most 1024
	figure 'memory, stream worker, COPY, growth in kB' stream_memory_copy 0 most 262144
}
