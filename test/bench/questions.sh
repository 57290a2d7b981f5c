# questions.sh: how fast the questions of a dashboard are answered: the part questions.
# Sourced by run.sh after metrics.sh.
# shellcheck shell=bash

question_sites=1000
now_rate=10000              # events a second while ranges that end now are asked for
now_bulk=100                # events of a request then
now_warm=90                 # seconds of them before the first question

# question NAME TITLE TARGET ANSWER RAW: append a question; ANSWER and RAW are statements
question()
{
	q_name+=("$1")
	q_title+=("$2")
	q_target+=("$3")
	q_ours+=("$4")
	q_raw+=("$5")
}

make_questions()
{
	local day=86400 start end today hour site="'{\"site\":\"site_0000\"}'"
	local raw='FROM fast_ingest.events WHERE'

	start=$(instant $((midnight - metrics_days * day)))
	today=$(instant $((midnight - day)))
	end=$(instant "$midnight")
	hour="to_char(date_trunc('hour', ts, 'UTC') AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
	q_name=() q_title=() q_target=() q_ours=() q_raw=()
	question all '30 days, all names' 5 "SELECT total_events, unique_users FROM fi_metrics(NULL, $start, $end)" \
		"SELECT count(*), count(DISTINCT user_id) $raw ts >= $start AND ts < $end"
	question names '30 days by name' 5 "SELECT * FROM fi_metrics(NULL, $start, $end, 'event')" \
		"SELECT event_name, count(*), count(DISTINCT user_id) $raw ts >= $start AND ts < $end GROUP BY 1"
	question site_day "a site's day by hour" 5 "SELECT * FROM fi_metrics(NULL, $today, $end, 'hour', filter => $site)" \
		"SELECT $hour, count(*), count(DISTINCT user_id) $raw ts >= $today AND ts < $end AND site_id = 'site_0000' GROUP BY 1"
	question site_pages "a site's top 10 pages of 30 days" 5 \
		"SELECT * FROM fi_metrics(NULL, $start, $end, 'page', filter => $site, max_groups => 10)" \
		"SELECT path, count(*), count(DISTINCT user_id) $raw ts >= $start AND ts < $end AND site_id = 'site_0000' GROUP BY 1 ORDER BY 2 DESC, path COLLATE \"C\" LIMIT 10"
	question sites 'top 10 sites of 30 days' '' "SELECT * FROM fi_metrics(NULL, $start, $end, 'site', max_groups => 10)" \
		"SELECT site_id, count(*), count(DISTINCT user_id) $raw ts >= $start AND ts < $end GROUP BY 1 ORDER BY 2 DESC, site_id COLLATE \"C\" LIMIT 10"
	question pages 'top 10 pages of 30 days' '' "SELECT * FROM fi_metrics(NULL, $start, $end, 'page', max_groups => 10)" \
		"SELECT path, count(*), count(DISTINCT user_id) $raw ts >= $start AND ts < $end GROUP BY 1 ORDER BY 2 DESC, path COLLATE \"C\" LIMIT 10"
	question series '30 days by day and channel' 5 \
		"SELECT \"time\", group_key, total_events, unique_users FROM fi_series(NULL, $start, $end, '1d', 'channel')" \
		"SELECT date_trunc('day', ts, 'UTC'), channel, count(*), count(DISTINCT user_id) $raw ts >= $start AND ts < $end GROUP BY 1, 2"
	question plan_day '1 day of a plan (no breakdown)' '' \
		"SELECT total_events, unique_users FROM fi_metrics('product_view', $today, $end, filter => '{\"metadata\":{\"plan\":\"plan_10\"}}')" \
		"SELECT count(*), count(DISTINCT user_id) $raw event_name = 'product_view' AND ts >= $today AND ts < $end AND metadata->>'plan' = 'plan_10'"
	question plan_month '30 days of a plan (no breakdown)' '' \
		"SELECT total_events, unique_users FROM fi_metrics('product_view', $start, $end, filter => '{\"metadata\":{\"plan\":\"plan_10\"}}')" \
		"SELECT count(*), count(DISTINCT user_id) $raw event_name = 'product_view' AND ts >= $start AND ts < $end AND metadata->>'plan' = 'plan_10'"
}

# measure_questions LABEL
measure_questions()
{
	local i name ours raw times

	wait_quiet
	printf '  %-34s %14s %14s\n' '' 'answered ms' 'raw rows ms'
	for i in "${!q_name[@]}"; do
		name=$1_${q_name[i]}
		ours=$(sql "${q_ours[i]}" | sort)
		raw=$(sql "${q_raw[i]}" | sort)
		[ "$ours" = "$raw" ] || problem "wrong answer to ${q_title[i]}: $(diff <(echo "$ours") <(echo "$raw") | head -n 6)"
		times=$calls
		[ -n "${q_target[i]}" ] || times=$raw_calls
		time_calls "question_$name" "$times" 3 "${q_ours[i]}"
		time_calls "question_raw_$name" "$raw_calls" 0 "${q_raw[i]}"
		printf '  %-34s %14.2f %14.2f\n' "${q_title[i]}" "$(median "question_$name")" "$(median "question_raw_$name")"
	done
	time_calls "question_$1_live" "$calls" 3 "SELECT * FROM fi_live('site_0000')"
	printf '  %-34s %14.2f\n' 'a site, live' "$(median "question_$1_live")"
}

# Ranges that end now, while events come in
measure_until_now()
{
	local seconds_allowed=$((now_warm + METRICS_SECONDS + 60)) name n p95
	local requests=$((now_rate * seconds_allowed / now_bulk)) until=$((SECONDS + now_warm))

	echo
	echo "until now: $now_rate events/s come in, $now_bulk a request, for $now_warm s before the first question; then for $METRICS_SECONDS s, with pauses of 10 ms"
	# connections that are not needed are idle for long
	change fast_ingest.keepalive_timeout 1h
	"$work/bin/event_client" -p "$http_port" -n "$requests" -e "$now_bulk" -c 8 -f "$next_request" \
		-u "$metrics_users" -k "$question_sites" -r "$now_rate" -t $((seconds_allowed + 10)) >"$work/live" &
	client_pid=$!
	next_request=$((next_request + requests))
	while [ "$SECONDS" -lt "$until" ]; do sleep 1; done
	{
		echo '\o /dev/null'
		echo "SELECT clock_timestamp() + interval '$METRICS_SECONDS s' AS deadline \\gset"
		for ((n = 0; n < 25 * METRICS_SECONDS; n++)); do
			echo "SELECT clock_timestamp() >= :'deadline' AS over \\gset"
			printf '\\if :over\n\\q\n\\endif\n'
			for name in 5_minutes 1_hour 1_day live; do
				echo 'SELECT pg_sleep(0.01);'
				printf '\\timing on\n\\echo query %s\n' "$name"
				if [ "$name" = live ]; then
					echo "SELECT * FROM fi_live('site_0000');"
				else
					echo "SELECT * FROM fi_metrics('product_view', clock_timestamp() - interval '${name/_/ }', clock_timestamp());"
				fi
				echo '\timing off'
			done
		done
	} >"$work/now.sql"
	timeout $((METRICS_SECONDS + 60)) "$BINDIR/psql" -X -q -v ON_ERROR_STOP=1 -f "$work/now.sql" |
		awk '$1 == "query" { name = $2 } $1 == "Time:" { print name, $2 }' >"$work/now" || die "queries were not answered"
	kill "$client_pid" || problem "the events ended before the questions"
	wait "$client_pid" || problem "not every answer was a 202: $(cat "$work/live")"
	client_pid=
	line=$(cat "$work/live")
	[ -n "$line" ] || die "event_client failed"
	take_line
	record now_rate "$(calc "$(value accepted "$line") / $seconds")"
	for name in 5_minutes 1_hour 1_day live; do
		n=$(grep -c "^$name " "$work/now" || true)
		p95=$(awk -v name="$name" '$1 == name { print $2 }' "$work/now" | sort -g |
			awk '{ x[NR] = $1 } END { print x[int(NR * 0.95 + 0.999)] }')
		record "now_$name" "$p95"
		printf '  %-12s %5d calls, p95 %8.2f ms\n' "$name" "$n" "$p95"
	done
}

bench_questions()
{
	local events

	set_deduplicate content
	for events in "$METRICS_SMALL" "$METRICS_EVENTS"; do
		[ "$events" != 0 ] || continue
		echo
		echo "questions: $events events over $metrics_days days, 10 names, 5 channels, $question_sites sites with 20 paths, $metrics_users users; medians of $calls warm calls"
		load_days "$events" -k "$question_sites"
		make_questions
		measure_questions "$([ "$events" = "$METRICS_EVENTS" ] && echo large || echo small)"
	done
	print_bytes
	measure_until_now
}

questions_figures()
{
	local i name

	wanted questions || return 0
	for i in "${!q_name[@]}"; do
		name=${q_name[i]}
		for size in large small; do
			figure "${q_title[i]}, $size, ms" "question_${size}_$name" 2 ${q_target[i]:+most "${q_target[i]}"}
			figure "... raw rows, ms" "question_raw_${size}_$name" 1
		done
	done
	figure 'a site, live, ms' question_large_live 2 most 2
	for name in 5_minutes 1_hour 1_day live; do
		figure "p95, the last $name until now, ms" "now_$name" 2 most 10
	done
	figure "... events/s that came in" now_rate 0 least $((now_rate * 98 / 100))
}
