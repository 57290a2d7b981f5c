#!/usr/bin/env bash
#
# test.sh: build docker/Dockerfile and run its image as Docker would, without Docker
# and without a registry. buildah builds it on a base that debootstrap makes of this
# machine's sources of Debian's packages. It needs root, a Debian of the Dockerfile's
# release, 4 GB of disk and ten minutes; it leaves nothing behind. The last line is
# "N passed, N failed". Reads from the environment:
#   BASE  an image to build on instead, which buildah has or can get

set -euo pipefail
cd "$(dirname "$0")/../.."
[ "$(id -u)" = 0 ] || { echo "test/docker/test.sh: it needs root" >&2; exit 1; }
test/dev/packages.sh docker

work=$(mktemp -d /var/tmp/fast_ingest-docker.XXXXXX)
declare -A unshared process
# shellcheck source=test/docker/lib.sh
. test/docker/lib.sh
trap remove_all EXIT
trap 'exit 130' INT TERM
mkdir "$work/tmp"

good=0
bad=0

# ok NAME COMMAND...: a test. What the command prints is shown if it fails.
ok()
{
	if "${@:2}" >"$work/output" 2>&1; then
		good=$((good + 1))
		echo "ok - $1"
	else
		bad=$((bad + 1))
		echo "not ok - $1"
		tail -n 20 "$work/output" | sed 's/^/# /'
	fi
}

# is NAME ACTUAL EXPECTED
is()
{
	ok "$1" same "$2" "$3"
}

same()
{
	[ "$1" = "$2" ] || { printf 'got      %s\nexpected %s\n' "$1" "$2"; return 1; }
}

# has TEXT PATTERN...: every one of these extended regular expressions
has()
{
	local pattern

	for pattern in "${@:2}"; do
		grep -qE -e "$pattern" <<<"$1" || { printf 'no %s in:\n%s\n' "$pattern" "$1"; return 1; }
	done
}

has_not()
{
	! grep -E -e "$2" <<<"$1"
}

# api NAME PATH [CURL OPTION...]: the answer's body and code
api()
{
	beside "$1" curl -s -m 20 -w ' %{http_code}' "${@:3}" "http://127.0.0.1:8080$2" || true
}

ready()
{
	[ "$(api "$1" /ready)" = '{"status":"ready"} 200' ]
}

# sql NAME COMMAND [DATABASE]
sql()
{
	inside "$1" psql -X -q -A -t -d "${3:-events}" -c "$2"
}

log()
{
	cat "$work/$1/log"
}

ready_or_stopped()
{
	stopped "$1" || ready "$1"
}

# start_ready NAME [ARGUMENT...]: without that nothing else can be tested
start_ready()
{
	start "$1" "${@:2}"
	if ! wait_until 120 ready_or_stopped "$1" || ! running "$1"; then
		die "container $1 is not ready: $(api "$1" /ready 2>&1), its log: $(log "$1")"
	fi
}

# refused NAME VARIABLES... -- PATTERN...: a first start with those ends by itself,
# with an error that says so and no cluster
refused()
{
	local name=$1 variables=()

	shift
	while [ "$1" != -- ]; do
		variables+=("$1")
		shift
	done
	shift
	create refused "$work/refused.volume" "${variables[@]}"
	start refused
	finish refused 60
	is "$name: exit status" "$status" 1
	ok "$name: the error says so" has "$(log refused)" "$@"
	ok "$name: no cluster" test ! -e "$work/refused.volume/data"
	rm -rf "$work/refused.volume"
}

# ---------------------------------------------------------------------------
# What is written down
# ---------------------------------------------------------------------------

ok 'shellcheck finds nothing' shellcheck -x docker/*.sh test/docker/*.sh
ok 'compose.yml is what it should be' python3 test/docker/compose_check.py docker/compose.yml
touch "$work/settings.env"
sed "s#settings.env#$work/settings.env#" docker/compose.yml >"$work/compose.yml"
if docker compose version >/dev/null 2>&1; then
	ok 'docker compose config' docker compose --project-directory docker -f "$work/compose.yml" --profile monitoring --profile clickhouse config
elif command -v docker-compose >/dev/null; then
	# The old one knows no name of a project
	sed -i /^name:/d "$work/compose.yml"
	ok 'docker-compose config' docker-compose --project-directory docker -f "$work/compose.yml" --profile monitoring --profile clickhouse config
else
	echo '# there is no docker compose: compose.yml was parsed only'
fi

# make docker-... where there is no Docker, and with one that writes down what it is told
mkdir "$work/bin" "$work/tree"
cp -r docker "$work/tree"
for program in bash cat chmod date dirname env mv od sed tail tr; do
	ln -s "$(command -v "$program")" "$work/bin"
done
compose()
{
	PATH=$work/bin "$work/tree/docker/compose.sh" "$1" 2>&1 || echo "exit status $?"
}
ok 'no docker' has "$(compose up)" 'docker is not installed' 'exit status 1'
cat >"$work/bin/docker" <<END
#!/bin/sh
echo "\$*" >>$work/docker.log
[ "\$*" != info ] || [ -e $work/engine ] || { echo 'Cannot connect'; exit 1; }
END
chmod +x "$work/bin/docker"
ok 'no Docker engine' has "$(compose up)" 'no Docker engine answers' 'Cannot connect' 'exit status 1'
touch "$work/engine"
ok 'docker-down before docker-up' has "$(compose down)" 'nothing was started' 'exit status 1'
ok 'docker-up' has "$(compose up)" 'made docker/settings.env' 'ready at http://127.0.0.1:8080'
ok 'docker-up: what it starts' has "$(<"$work/docker.log")" '^compose up --detach --build --wait$'
is 'docker-up: nobody else reads the password' "$(stat -c %a "$work/tree/docker/settings.env")" 600
ok 'docker-up: there is one' grep -qE '^POSTGRES_PASSWORD=[0-9a-f]{32}$' "$work/tree/docker/settings.env"
ok 'docker-up, again: it stays' has_not "$(compose up)" 'made docker/settings.env'
ok 'docker-down' has_not "$(compose down)" 'exit status'

# ---------------------------------------------------------------------------
# The image
# ---------------------------------------------------------------------------

write_apt
base=${BASE:-}
if [ -z "$base" ]; then
	base=localhost/base
	build_base "$(sed -n 's/^ARG BASE=debian:\([a-z]*\)-slim$/\1/p' docker/Dockerfile)"
fi
build_image
open_image
echo "# the image's files: $(du -sm "$root" | cut -f 1) MB"

is 'the user is not root' "$user" 999
ok 'there is no compiler' test ! -e "$root/usr/bin/cc" -a ! -e "$root/usr/bin/make"
ok 'there is no cluster' test -z "$(ls -A "$root/var/lib/postgresql")"
ok 'there is no private key' test -z "$(ls -A "$root/etc/ssl/private")"
ok 'there are no lists of packages' test -z "$(ls -A "$root/var/lib/apt/lists")"
ok 'nobody but root can change programs' test -z "$(find "$root/usr" \( -user 999 -o -perm -o=w ! -type l \) -print)"

# ---------------------------------------------------------------------------
# First starts that cannot be
# ---------------------------------------------------------------------------

refused 'no password' -- 'error: there is no password' 'POSTGRES_PASSWORD=' 'POSTGRES_PASSWORD_FILE=' 'METHOD=trust'
sed 's/^/# /' "$work/refused/log"
refused 'two passwords' POSTGRES_PASSWORD=a POSTGRES_PASSWORD_FILE=/etc/hostname -- 'error: both POSTGRES_PASSWORD and POSTGRES_PASSWORD_FILE'
refused 'no such file' POSTGRES_PASSWORD_FILE=/run/secrets/password -- 'error: POSTGRES_PASSWORD_FILE is /run/secrets/password, .* cannot read'
refused 'an unknown setting' POSTGRES_PASSWORD=secret FAST_INGEST_PROT=8080 -- \
	'error: FAST_INGEST_PROT is given, but there is no setting fast_ingest.prot' 'There are: .*listen_addresses .*port '
refused 'a value that is none' POSTGRES_PASSWORD=secret FAST_INGEST_PORT=web -- \
	'invalid value for parameter "fast_ingest.port": "web"' 'error: the settings are not valid'
refused 'the database as a setting' POSTGRES_PASSWORD=secret FAST_INGEST_DATABASE=app -- 'error: FAST_INGEST_DATABASE is given' 'POSTGRES_DB'
install -d -o root -m 755 "$work/refused.volume"
refused 'a volume of another user' POSTGRES_PASSWORD=secret -- 'error: user 999 cannot write to /var/lib/postgresql' 'chown 999:999'
mkdir -p "$work/refused"

# ---------------------------------------------------------------------------
# The first start, interrupted and not
# ---------------------------------------------------------------------------

volume=$work/volume
password="it's a \\ \"secret\""
create first "$volume" "POSTGRES_PASSWORD=$password" FAST_INGEST_CHANNELS="web, o'neill\\" FAST_INGEST_MAX_AGE=7300d FAST_INGEST_ROLE=
start first
ok 'a first start begins' wait_until 60 test -s "$volume/data.new/PG_VERSION"
send first "$signal"
finish first 60
is 'interrupted: it ends' "$status" 130
ok 'interrupted: there is no cluster' test ! -e "$volume/data"
start first
ok 'killed: it had begun' wait_until 60 test -s "$volume/data.new/PG_VERSION"
send first KILL
finish first 60
ok 'killed: there is no cluster' test ! -e "$volume/data"

began=$SECONDS
start_ready first
echo "# ready after $((SECONDS - began)) s. Its log:"
sed 's/^/# /' "$work/first/log"
ok 'nothing of the attempts before is left' test ! -e "$volume/data.new"
ok 'the log has no error and no password' has_not "$(log first)" 'ERROR|FATAL|invalid|secret'

is 'process 1 is the server' "$(inside first cat /proc/1/comm)" postgres
is 'nobody in it is root' "$(inside first sh -c 'stat -c %u /proc/[0-9]* | sort -u' | tr '\n' ' ')" '999 '
is 'it has no capability' "$(inside first sed -n 's/^CapEff:\t//p' /proc/1/status)" 0000000000000000
is 'data checksums' "$(sql first 'SHOW data_checksums')" on
is 'the encoding' "$(sql first 'SHOW server_encoding')" UTF8
is 'the database' "$(sql first 'SHOW fast_ingest.database')" events
is 'a setting of the environment' "$(sql first 'SHOW fast_ingest.max_age')" 7300d
is 'a setting with odd characters' "$(sql first 'SHOW fast_ingest.channels')" "web, o'neill\\"
is 'no setting is missing in the list of the image' "$(<"$root/usr/share/fast_ingest/settings")" \
	"$(sql first "SELECT replace(name, 'fast_ingest.', '') FROM pg_settings WHERE name LIKE 'fast\_ingest.%' ORDER BY name COLLATE \"C\"")"
is 'the extensions' "$(sql first 'SELECT extname FROM pg_extension ORDER BY 1' | tr '\n' ' ')" 'fast_ingest pg_cron plpgsql '
is 'the jobs' "$(sql first 'SELECT jobname FROM cron.job ORDER BY 1' | tr '\n' ' ')" 'fast_ingest maintain fast_ingest refresh '

# healthy NAME
healthy()
{
	inside "$1" sh -c "$(jq -r '.Healthcheck.Test[1]' "$config")"
}
ok 'the health check is one' healthy first
ok 'HTTP is open to other machines' beside first curl -sS --fail-with-body -m 20 http://192.0.2.1:8080/ready

# connect PASSWORD: over TCP, as from another machine
connect()
{
	PGPASSWORD=$1 inside first env PGPASSWORD="$1" psql -X -A -t -h 192.0.2.1 -U postgres -d events -c 'SELECT 1'
}
ok 'PostgreSQL takes the password' connect "$password"
ok 'PostgreSQL refuses another' has "$(connect wrong 2>&1 || true)" 'password authentication failed'

# Two processes 1 at one cluster would destroy it
create second "$volume" "POSTGRES_PASSWORD=$password"
start second
finish second 60
is 'a second container on the same volume' "$status" 1
ok 'a second container: the error says so' has "$(log second)" 'error: another container uses /var/lib/postgresql/data'
ok 'a second container does no harm' ready first

# ---------------------------------------------------------------------------
# Events in, metrics out, stop, start
# ---------------------------------------------------------------------------

now=$(date +%s)
jq -n -c --argjson now "$now" '[range(1000) | {event_name: "page_view", channel: "web", user_id: "user \(. % 100)", timestamp: ($now - .)}]' >"$work/bulk.json"
is 'events' "$(api first /events/bulk -H 'Content-Type: application/json' -d "@$work/bulk.json")" '{"status":"accepted","accepted":1000} 202'
is 'a channel that the environment does not name' "$(api first /events -H 'Content-Type: application/json' \
	-d "{\"event_name\":\"page_view\",\"channel\":\"fax\",\"user_id\":\"u\",\"timestamp\":$now}" | grep -o '...$')" 400
metrics='{"event_name":"page_view","total_events":1000,"unique_users":100} 200'
is 'metrics' "$(api first '/metrics?event_name=page_view')" "$metrics"

# clicks: single events until one is not accepted. The file accepted has the others.
clicks()
{
	local n=0

	: >"$work/accepted"
	while [ "$n" -lt 100000 ]; do
		n=$((n + 1))
		[ "$(api first /events -H 'Content-Type: application/json' \
			-d "{\"event_name\":\"click\",\"channel\":\"web\",\"user_id\":\"$n\",\"timestamp\":$now}")" = '{"status":"accepted"} 202' ] || break
		echo "$n" >>"$work/accepted"
	done
}

job_succeeded()
{
	[ "$(sql first "SELECT count(*) > 0 FROM cron.job_run_details WHERE status = 'succeeded'")" = t ]
}
ok 'pg_cron refreshes the rollup' wait_until 90 job_succeeded
is 'no job failed' "$(sql first "SELECT count(*) FROM cron.job_run_details WHERE status = 'failed'")" 0

sql first "ALTER SYSTEM SET fast_ingest.retention = '90d'"

clicks &
clicker=$!
accepted()
{
	[ "$(wc -l <"$work/accepted")" -ge "$1" ]
}
ok 'events come' wait_until 60 accepted 20
began=$(date +%s%N)
send first "$signal"
finish first 60
stopping=$(($(date +%s%N) - began))
wait "$clicker" || true
is 'stop: exit status' "$status" 0
ok "stop: within 10 seconds ($((stopping / 1000000)) ms)" test "$stopping" -lt 10000000000
ok 'stop: a clean shutdown' has "$(log first)" 'received fast shutdown request' 'database system is shut down'

create first "$volume" FAST_INGEST_MAX_BULK_EVENTS=10 FAST_INGEST_RETENTION=30d
start_ready first -c work_mem=5MB
is 'started again: events' "$(api first '/metrics?event_name=page_view')" "$metrics"
is 'started again: every acknowledged event is there' "$(LC_ALL=C comm -13 \
	<(sql first "SELECT user_id FROM fast_ingest.events WHERE event_name = 'click'" | LC_ALL=C sort) \
	<(LC_ALL=C sort "$work/accepted"))" ''
echo "# $(wc -l <"$work/accepted") were acknowledged until it stopped"
is 'started again: a setting of the environment' "$(sql first 'SHOW fast_ingest.max_bulk_events')" 10
is 'started again: one that is not there any more' "$(sql first 'SHOW fast_ingest.max_age')" 3650d
is 'started again: ALTER SYSTEM wins' "$(sql first 'SHOW fast_ingest.retention')" 90d
is 'started again: a setting of the command' "$(sql first 'SHOW work_mem')" 5MB
ok 'started again: no cluster is made' has_not "$(log first)" 'first start'

send first KILL
finish first 60
create first "$volume" FAST_INGEST_PROT=1
start first
finish first 60
is 'an unknown setting with an existing cluster' "$status" 1
create first "$volume"
start_ready first
is 'started after a kill: events' "$(api first '/metrics?event_name=page_view')" "$metrics"
send first "$signal"
finish first 60

# ---------------------------------------------------------------------------
# Other ways to say it
# ---------------------------------------------------------------------------

create other "$work/other.volume" POSTGRES_HOST_AUTH_METHOD=trust POSTGRES_USER=owner POSTGRES_DB='Odd "name"' FAST_INGEST_PORT=8080
start_ready other
is 'another database and superuser' "$(inside other psql -X -A -t -U owner -d 'Odd "name"' -c \
	"SELECT current_setting('fast_ingest.database'), current_setting('cron.database_name'), current_setting('is_superuser')")" \
	'Odd "name"|Odd "name"|on'
ok 'trust: nobody is asked for a password' inside other psql -X -h 192.0.2.1 -U owner -d postgres -c 'SELECT 1'
ok 'trust: the log warns' has "$(log other)" 'warning: POSTGRES_HOST_AUTH_METHOD is trust'
send other "$signal"
finish other 60

install -d -o "$user" -g "$group" "$work/tls.volume"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost \
	-addext 'subjectAltName = DNS:localhost' -keyout "$work/tls.volume/key" -out "$work/tls.volume/certificate" 2>/dev/null
chown "$user:$group" "$work/tls.volume/key"
create tls "$work/tls.volume" POSTGRES_HOST_AUTH_METHOD=trust FAST_INGEST_PORT=0 FAST_INGEST_SSL_PORT=8443 \
	FAST_INGEST_SSL_CERT_FILE=/var/lib/postgresql/certificate FAST_INGEST_SSL_KEY_FILE=/var/lib/postgresql/key
start tls
ok 'HTTPS only: the health check is one' wait_until 120 healthy tls
is 'HTTPS only: /ready' "$(beside tls curl -s -m 20 --cacert "$work/tls.volume/certificate" https://localhost:8443/ready)" \
	'{"status":"ready"}'
send tls "$signal"
finish tls 60

create tool "$work/tool.volume"
start tool initdb --version
finish tool 60
is 'another command runs instead' "$(log tool | cut -d ' ' -f 1)" initdb

echo "$good passed, $bad failed"
[ "$bad" = 0 ]
