#!/usr/bin/env bash
#
# run.sh: build fast_ingest and run it in a private cluster in tmp_run/, which goes
# on when this script has ended. Run again, it restarts the cluster with what was
# built since. Reads from the environment:
#   FI_PORT  where the API listens (default 8080)
#   FI_SSL_PORT  where it listens for HTTPS, with a certificate of its own making (default
#            0: nowhere)
#   FI_RUN   where the cluster is, if not in tmp_run/
#   PGPORT   names the cluster's Unix socket; there is no other way in (default 54329)

# shellcheck source=test/dev/lib.sh
. "$(dirname "$0")/lib.sh"
prepare run

port=${FI_PORT:-8080}
ssl_port=${FI_SSL_PORT:-0}
data=$run/data
log=$run/log

if (use_cluster) 2>/dev/null; then
	"$bindir/pg_ctl" -D "$data" -m fast -w -s stop
	echo "stopped the cluster that was running"
fi
for wanted in "FI_PORT $port" "FI_SSL_PORT $ssl_port"; do
	if (: <>"/dev/tcp/127.0.0.1/${wanted#* }") 2>/dev/null; then
		die "port ${wanted#* } is taken by another program: choose one with make run ${wanted% *}=..."
	fi
done

install -d -m 700 "$run"
if [ ! -d "$data" ]; then
	initialize "$data" events
	echo "include 'fast_ingest.conf'" >>"$data/postgresql.conf"
fi
if [ "$(cat "$data/PG_VERSION")" != "$("$bindir/postgres" -V | sed -E 's/.* ([0-9]+).*/\1/')" ]; then
	die "the cluster was made by PostgreSQL $(cat "$data/PG_VERSION"): make reset deletes it"
fi

if [ "$ssl_port" != 0 ] && ! openssl x509 -checkend 0 -noout -in "$data/server.crt" >/dev/null 2>&1; then
	(umask 077 && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 \
		-subj /CN=localhost -addext 'subjectAltName = DNS:localhost, IP:127.0.0.1' \
		-keyout "$data/server.key" -out "$data/server.crt" 2>/dev/null)
fi

sockets=$(socket_directory "$run")

# The demo's events are of 2015. pg_cron connects like any client.
cat >"$data/fast_ingest.conf" <<EOF
listen_addresses = ''
unix_socket_directories = '$sockets'
port = ${PGPORT:-54329}
max_worker_processes = 16
wal_level = logical
shared_preload_libraries = 'pg_cron,fast_ingest'
cron.database_name = 'events'
cron.host = '$sockets'
cron.log_statement = off
fast_ingest.database = 'events'
fast_ingest.port = $port
fast_ingest.ssl_port = $ssl_port
fast_ingest.max_age = '7300d'
fast_ingest.max_streams = 2
EOF

start "$data" "$log"
use_cluster
sql "SET client_min_messages = warning;
	CREATE EXTENSION IF NOT EXISTS pg_cron;
	CREATE EXTENSION IF NOT EXISTS fast_ingest;
	SELECT FROM fi_schedule()"

url=http://127.0.0.1:$port
answer=
deadline=$((SECONDS + 30))
while [ "$SECONDS" -lt "$deadline" ]; do
	answer=$(curl -s -m 2 -w ' %{http_code}' "$url/ready" || true)
	[ "${answer##* }" != 200 ] || break
	sleep 0.1
done
if [ "${answer##* }" != 200 ]; then
	echo "$script: $url/ready answered \"$answer\". The end of $log:" >&2
	tail -n 30 "$log" >&2
	exit 1
fi

echo "fast_ingest is ready at $url"
if [ "$ssl_port" != 0 ]; then
	echo "and at https://localhost:$ssl_port: curl --cacert $data/server.crt"
fi
cat <<EOF

  curl -i $url/events -H 'Content-Type: application/json' \\
    -d '{"event_name":"product_view","channel":"web","user_id":"user_123","timestamp":$(date +%s)}'

  curl "$url/metrics?event_name=product_view&group_by=channel"

  psql -h $PGHOST -p $PGPORT -U postgres events    (or make psql)
  SELECT * FROM fi_metrics('product_view', group_by => 'hour');

make test-event posts one event, make demo a real log and a month of a shop, make logs shows the server's log, make stop stops it.
EOF
