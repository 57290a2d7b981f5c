#!/usr/bin/env bash
#
# demo_streams.sh: start a ClickHouse, have the cluster of `make run` stream its events
# there, post the real events of `make demo-log`, show them arrive, and ask both the same
# question. At the end the stream is dropped and the ClickHouse stopped; its data stays in
# the cluster's folder until the next time.

# shellcheck source=test/dev/lib.sh
. "$(dirname "$0")/lib.sh"
[ "$(id -u)" != 0 ] || [ -x /usr/sbin/clickhouse-server ] || test/dev/packages.sh test
leave_root "$@"
use_cluster

program=$(PATH=$PATH:/usr/sbin command -v clickhouse-server) || die "clickhouse-server is missing: test/dev/packages.sh test"
stream=demo
folder=$run/clickhouse
pid=

if [ "$(sql 'SHOW wal_level')" != logical ] || [ "$(sql 'SHOW fast_ingest.max_streams')" = 0 ]; then
	die "the cluster has no streams: make run starts it again with them"
fi

free_port()
{
	perl -MIO::Socket::INET -e 'print IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1")->sockport'
}

drop_stream()
{
	sql "SELECT fi_drop_stream(name) FROM fast_ingest.streams WHERE name = '$stream'" >/dev/null
}

clean_up()
{
	drop_stream || true
	if [ -n "$pid" ]; then
		kill "$pid"
		wait "$pid" || true
	fi
}
trap clean_up EXIT

# ask QUERY: of ClickHouse
ask()
{
	curl -sS --fail-with-body -m 60 "$url/" --data-binary "$1" || die "ClickHouse refused $1"
}

rm -rf "$folder"
mkdir -p "$folder"
url=http://127.0.0.1:$(free_port)
cat >"$folder/config.xml" <<EOX
<yandex>
	<logger><level>warning</level><console>1</console></logger>
	<http_port>${url##*:}</http_port>
	<tcp_port>$(free_port)</tcp_port>
	<listen_host>127.0.0.1</listen_host>
	<mark_cache_size>67108864</mark_cache_size>
	<path>$folder/data/</path>
	<tmp_path>$folder/data/tmp/</tmp_path>
	<users_config>users.xml</users_config>
	<timezone>UTC</timezone>
</yandex>
EOX
cat >"$folder/users.xml" <<EOX
<yandex>
	<profiles><default></default></profiles>
	<quotas><default></default></quotas>
	<users><default>
		<password></password>
		<networks><ip>127.0.0.1</ip></networks>
		<profile>default</profile>
		<quota>default</quota>
	</default></users>
</yandex>
EOX
(cd "$folder" && exec "$program" --config-file="$folder/config.xml") >"$folder/log" 2>&1 9>&- &
pid=$!
deadline=$((SECONDS + 60))
until curl -s -m 2 "$url/ping" >/dev/null; do
	if ! kill -0 "$pid" 2>/dev/null || [ "$SECONDS" -ge "$deadline" ]; then
		die "ClickHouse did not start: $(tail -n 5 "$folder/log")"
	fi
	sleep 0.1
done
echo "ClickHouse $(ask 'SELECT version()') answers at $url"

sql "SELECT fi_clickhouse_ddl('events', version => 'old')" | grep -v '^--' >"$folder/tables.sql"
while IFS= read -r -d ';' statement; do
	[ -z "${statement//[[:space:]]/}" ] || ask "$statement"
done <"$folder/tables.sql"

drop_stream
sql "SELECT fi_create_stream('$stream', 'clickhouse', '$url', 'events', backfill_since => '-infinity')" >/dev/null
echo "fi_create_stream('$stream', 'clickhouse', '$url', 'events', backfill_since => '-infinity')"
echo

test/dev/demo_log.sh >"$folder/demo" 2>&1 &
demo=$!
here=-1 there=-2 shown=
deadline=$((SECONDS + 120))
while kill -0 "$demo" 2>/dev/null || [ "$here" != "$there" ]; do
	here=$(sql 'SELECT count(*) FROM fast_ingest.events')
	there=$(ask 'SELECT count() FROM events')
	if [ "$here $there" != "$shown" ]; then
		shown="$here $there"
		printf 'here %7d   in ClickHouse %7d   %s\n' "$here" "$there" \
			"$(sql "SELECT state || coalesce(': ' || detail, '') FROM fi_streams() WHERE name = '$stream'")"
	fi
	[ "$SECONDS" -lt "$deadline" ] ||
		die "they did not arrive: $(sql "SELECT state, detail, last_error FROM fi_streams() WHERE name = '$stream'")"
	sleep 0.2
done
wait "$demo" || die "the events were not posted: $(cat "$folder/demo")"

question="WHERE site_id = 'semicomplete.com' GROUP BY event_name ORDER BY count(*) DESC, event_name"
printf '\nSELECT event_name, count(*), count(DISTINCT user_id) FROM events %s\n\n' "$question"
answer_here=$(sql "SELECT event_name, count(*), count(DISTINCT user_id) FROM fast_ingest.events $question" | tr '|' '\t')
answer_there=$(ask "SELECT event_name, count(*), uniqExact(user_id) FROM events $question")
paste <(echo "$answer_here") <(echo "$answer_there") |
	awk -F '\t' 'BEGIN { printf "%-12s %10s %8s    %-12s %10s %8s\n", "here", "events", "users", "ClickHouse", "events", "users" }
		{ printf "%-12s %10d %8d    %-12s %10d %8d\n", $1, $2, $3, $4, $5, $6 }'
[ "$answer_here" = "$answer_there" ] || die "the answers are not the same"

"$bindir/psql" -X -q -x -c "SELECT state, events_sent, batches_sent, lag, guarantee FROM fi_streams() WHERE name = '$stream'"
echo "both say the same"
