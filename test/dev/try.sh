#!/usr/bin/env bash
#
# try.sh health|ready|test-event|test-metrics|load-test: ask the cluster of `make
# run` by curl, print the command and the answer, and fail unless it is right.
# load-test reads from the environment:
#   FI_SECONDS      how long it posts (default 10)
#   FI_CONNECTIONS  over how many connections (default 32)

# shellcheck source=test/dev/lib.sh
. "$(dirname "$0")/lib.sh"
leave_root "$@"
use_cluster

api=http://127.0.0.1:$(sql 'SHOW fast_ingest.port')

# ask CODE ARGUMENT...: run curl, print the command and what came back, which is in
# $answer then, and die unless it has that code
ask()
{
	local code=$1 status argument
	shift

	printf '$ curl -s'
	for argument in "$@"; do
		# quoted where a shell would need it
		[[ $argument =~ ^[A-Za-z0-9_./:=-]+$ ]] || argument=${argument@Q}
		printf ' %s' "$argument"
	done
	printf '\n'
	answer=$(curl -sS -m 60 -w '\n%{http_code}' "$@") || die "there was no answer"
	status=${answer##*$'\n'}
	answer=${answer%$'\n'*}
	printf '%s %s\n' "$status" "$answer"
	[ "$status" = "$code" ] || die "the answer is not $code"
}

# show COMMAND: run it in psql, and print both
show()
{
	printf '$ psql -c "%s"\n' "$1"
	"$bindir/psql" -X -q -P footer=off -v ON_ERROR_STOP=1 -c "$1"
}

# One event, which no earlier one is equal to
test_event()
{
	local user

	user=test-$(date +%s%N)
	ask 202 "$api/events" -H 'Content-Type: application/json' \
		-d "{\"event_name\":\"test_event\",\"channel\":\"web\",\"user_id\":\"$user\",\"timestamp\":$(date +%s)}"
	show "SELECT event_name, channel, user_id, ts, ingested_at FROM fast_ingest.events WHERE user_id = '$user'"
	[ "$(sql "SELECT count(*) FROM fast_ingest.events WHERE user_id = '$user'")" = 1 ] || die "the event is not there once"
	echo "stored once"
}

# What SQL and HTTP say of the event_name that has most events, and what a count of
# the raw rows says
test_metrics()
{
	local name quoted by_sql by_sql_after by_http raw

	name=$(sql "SELECT event_name FROM fast_ingest.events GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1")
	[ -n "$name" ] || die "there are no events: make test-event or make demo"
	quoted=${name//\'/\'\'}
	by_sql="SELECT jsonb_agg(m ORDER BY group_key COLLATE \"C\") FROM fi_metrics('$quoted', group_by => 'channel') m"
	raw="SELECT jsonb_agg(r ORDER BY group_key COLLATE \"C\") FROM (
		SELECT channel AS group_key, count(*) AS total_events, count(DISTINCT user_id) AS unique_users
		FROM fast_ingest.events WHERE event_name = '$quoted' GROUP BY 1) r"

	show "SELECT * FROM fi_metrics('$quoted', group_by => 'channel')"
	# in one snapshot
	raw=$(sql "SELECT raw FROM ($raw) r (raw), ($by_sql) m (by_sql) WHERE raw IS DISTINCT FROM by_sql")
	[ -z "$raw" ] || die "the raw rows say $raw"
	by_sql_after=$by_sql
	by_sql=$(sql "$by_sql")
	ask 200 -G "$api/metrics" --data-urlencode "event_name=$name" -d group_by=channel
	by_sql_after=$(sql "$by_sql_after")
	[ "$by_sql" = "$by_sql_after" ] || die "events came in meanwhile: try again"

	by_http=$(jq '[.data[] | {group_key: .group, total_events, unique_users}]' <<<"$answer")
	jq -e -n --argjson a "$by_sql" --argjson b "$by_http" '($a | sort) == ($b | sort)' >/dev/null ||
		die "SQL says $by_sql"
	echo "SQL, HTTP and the raw rows say the same"
}

# The rows that load_test has stored
load_rows()
{
	sql "SELECT count(*) FROM fast_ingest.events WHERE event_name = 'product_view' AND campaign_id = 'cmp_000' AND site_id = 'site_0'"
}

# Wait until nothing is staged, and print what the books are out by
imbalance()
{
	local i line

	for ((i = 0; i < 300; i++)); do
		line=$(sql "SELECT sum(staged) || ' ' || sum(accepted) - sum(committed) - sum(duplicate) - sum(discarded) - sum(dead_lettered) FROM fi_status()")
		if [ "${line%% *}" = 0 ]; then
			echo "${line#* }"
			return
		fi
		sleep 0.1
	done
	die "events are still staged after 30 seconds"
}

# Single events over many connections for some seconds, and what became of them
load_test()
{
	local seconds=${FI_SECONDS:-10} connections=${FI_CONNECTIONS:-32}
	local first rows line requests took p50 p99 off metrics

	[[ $seconds =~ ^[1-9][0-9]{0,2}$ ]] || die "SECONDS is $seconds: expected 1 to 999"
	[[ $connections =~ ^[1-9][0-9]{0,2}$ ]] || die "CONNECTIONS is $connections: expected 1 to 999"
	mkdir -p "$run/bin"
	"${CC:-cc}" -O2 -o "$run/bin/event_client" test/bench/event_client.c test/bench/request.c ||
		die "could not build test/bench/event_client.c"

	# Requests are numbered on from run to run: the same one again would be no new event
	first=$(cat "$run/load_test" 2>/dev/null || echo 10000000)
	echo $((first + seconds * 100000)) >"$run/load_test"
	rows=$(load_rows)
	echo "posting single events to $api/events over $connections connections for $seconds seconds"
	line=$(timeout --preserve-status -s TERM "$seconds" "$run/bin/event_client" -p "${api##*:}" \
		-n $((seconds * 100000)) -c "$connections" -f "$first" -t $((seconds + 60))) ||
		die "not every answer was a 202 ($line)"
	read -r _ requests _ _ _ took p50 p99 <<<"$line"
	requests=${requests#*=}
	echo $((first + requests)) >"$run/load_test"
	awk -v n="$requests" -v s="${took#*=}" -v p50="${p50#*=}" -v p99="${p99#*=}" 'BEGIN {
		printf "%d events accepted in %.1f s: %.0f events/s, p50 %.2f ms, p99 %.2f ms\n", n, s, n / s, p50 / 1000, p99 / 1000 }'

	off=$(imbalance)
	[ "$off" = 0 ] || die "the books do not balance: $off events accepted that became nothing"
	rows=$(($(load_rows) - rows))
	[ "$rows" = "$requests" ] || die "$rows rows more, for $requests events accepted"
	metrics=$(sql "SELECT to_jsonb(m) FROM (
		SELECT total_events, unique_users FROM fi_metrics('product_view')
		EXCEPT SELECT count(*), count(DISTINCT user_id) FROM fast_ingest.events WHERE event_name = 'product_view') m")
	[ -z "$metrics" ] || die "the metrics are not those of the raw rows: $metrics"
	echo "the books balance: as many rows more, and the metrics are those of the raw rows"
}

case ${1:-} in
	health | ready)
		ask 200 "$api/$1"
		;;
	test-event)
		test_event
		;;
	test-metrics)
		test_metrics
		;;
	load-test)
		load_test
		;;
	*)
		die "health, ready, test-event, test-metrics or load-test?"
		;;
esac
