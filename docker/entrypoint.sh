#!/usr/bin/env bash
#
# entrypoint.sh [postgres] [-OPTION...]: make the cluster at the first start, write
# down the settings of the environment, and become the server: it is process 1 and
# gets the signals. entrypoint.sh COMMAND...: run that instead. Reads from the
# environment:
#   FAST_INGEST_<SETTING>  setting fast_ingest.<setting>; empty is as if not given
# and at the first start only, as other images of PostgreSQL do:
#   POSTGRES_PASSWORD, POSTGRES_PASSWORD_FILE  of the superuser, or a file that holds it
#   POSTGRES_HOST_AUTH_METHOD                  for TCP, in pg_hba.conf (scram-sha-256)
#   POSTGRES_USER                              name of the superuser (postgres)
#   POSTGRES_DB                                database of the events (events)
#
# The cluster is made beside its place, and moved there when it is complete: a first
# start that was interrupted leaves nothing that a second one would take for a cluster.

set -euo pipefail
trap 'exit 130' INT TERM

# die MESSAGE [WHAT TO DO...]
die()
{
	echo "entrypoint.sh: error: $1" >&2
	[ $# = 1 ] || printf '  %s\n' "${@:2}" >&2
	exit 1
}

# quote VALUE: as postgresql.conf wants it
quote()
{
	local value=${1//\\/\\\\}

	echo "'${value//\'/\'\'}'"
}

# Sets password, empty if there need be none
read_password()
{
	if [ -n "${POSTGRES_PASSWORD:-}" ] && [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then
		die "both POSTGRES_PASSWORD and POSTGRES_PASSWORD_FILE are given" "Give one of them."
	fi
	password=${POSTGRES_PASSWORD:-}
	if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then
		[ -r "$POSTGRES_PASSWORD_FILE" ] ||
			die "POSTGRES_PASSWORD_FILE is $POSTGRES_PASSWORD_FILE, which user $(id -u) cannot read"
		password=$(<"$POSTGRES_PASSWORD_FILE")
		[ -n "$password" ] || die "POSTGRES_PASSWORD_FILE is $POSTGRES_PASSWORD_FILE, which is empty"
	fi
	if [ "$method" = trust ]; then
		echo "entrypoint.sh: warning: POSTGRES_HOST_AUTH_METHOD is trust: who reaches the port of PostgreSQL is its superuser" >&2
	elif [ -z "$password" ]; then
		die "there is no password for the superuser of PostgreSQL" \
			"Give one: docker run -e POSTGRES_PASSWORD=..." \
			"or a file that holds it: -e POSTGRES_PASSWORD_FILE=/run/secrets/..." \
			"or let everybody in who reaches the port: -e POSTGRES_HOST_AUTH_METHOD=trust"
	fi
}

# write_settings FILE: those of the environment. Kubernetes puts variables of such
# names there for a service that is called fast-ingest.
write_settings()
{
	local variable setting known hint=()

	echo "# Written by entrypoint.sh at each start: change the environment instead" >"$1"
	for variable in "${!FAST_INGEST_@}"; do
		setting=${variable#FAST_INGEST_}
		setting=${setting,,}
		if [ "$setting" = database ]; then
			die "$variable is given" "POSTGRES_DB names the database, at the first start."
		fi
		if ! grep -qxF -e "$setting" /usr/share/fast_ingest/settings; then
			known=$(tr '\n' ' ' </usr/share/fast_ingest/settings)
			if [ -n "${KUBERNETES_SERVICE_HOST:-}" ]; then
				hint=("Set enableServiceLinks: false in the pod, if it is Kubernetes that gives it.")
			fi
			die "$variable is given, but there is no setting fast_ingest.$setting" "There are: ${known% }" "${hint[@]}"
		fi
		case ${!variable} in
			'') ;;
			*$'\n'*) die "$variable has more than one line" ;;
			*) echo "fast_ingest.$setting = $(quote "${!variable}")" >>"$1" ;;
		esac
	done
}

# single DATABASE: run the statements of standard input, one a line, without a
# server. What PostgreSQL does not understand in the settings is an error.
single()
{
	local output

	output=$(postgres --single -D "$new" -c exit_on_error=on "$1" 2>&1) ||
		die "could not set up database $1: $(grep -E 'FATAL|ERROR|HINT|DETAIL' <<<"$output" || echo "$output")"
	if grep -E 'WARNING: +invalid (value|configuration parameter)' <<<"$output" >&2; then
		die "the settings are not valid"
	fi
}

# The first start
initialize()
{
	local output method=${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256} database=${POSTGRES_DB:-events} password

	read_password
	echo "entrypoint.sh: first start: making a cluster of $(postgres -V) in $PGDATA"
	rm -rf "$new"
	output=$(initdb -D "$new" --username="${POSTGRES_USER:-postgres}" ${password:+--pwfile=<(printf '%s\n' "$password")} \
		--encoding=UTF8 --locale=C.UTF-8 --data-checksums --auth-local=trust --auth-host="$method" 2>&1) ||
		die "initdb failed: $output"
	printf '\n%s\n' "host all all all $method" >>"$new/pg_hba.conf"
	cat >>"$new/postgresql.conf" <<END

# Written by entrypoint.sh at the first start: change what you like
listen_addresses = '*'
max_worker_processes = 16
shared_preload_libraries = 'pg_cron,fast_ingest'
cron.database_name = $(quote "$database")
cron.host = '/var/run/postgresql'
cron.log_statement = off
fast_ingest.database = $(quote "$database")
fast_ingest.listen_addresses = '*'
include_if_exists = 'environment.conf'		# what the environment says wins
END
	write_settings "$new/environment.conf"
	case $database in
		postgres | template1) ;;
		*) single postgres <<<"CREATE DATABASE \"${database//\"/\"\"}\"" ;;
	esac
	single "$database" <<<'CREATE EXTENSION pg_cron
CREATE EXTENSION fast_ingest
SELECT * FROM fi_schedule()'
	mv -T "$new" "$PGDATA"
	sync "$PGDATA/.."
	echo "entrypoint.sh: made database $database with the extensions fast_ingest and pg_cron"
}

case ${1:-} in
	postgres) shift ;;
	-* | '') ;;
	*) exec "$@" ;;
esac

new=$PGDATA.new
[ "$(id -u)" != 0 ] || die "PostgreSQL does not run as root" "Leave the user to the image."
if mountpoint -q "$PGDATA"; then
	die "a volume is mounted at $PGDATA" "Mount it at ${PGDATA%/*}: there, the cluster is made in $new first."
fi
[ -w "${PGDATA%/*}" ] ||
	die "user $(id -u) cannot write to ${PGDATA%/*}" "Let it own that directory: chown $(id -u):$(id -g)"

# PostgreSQL knows its processes by number, and each container has a process 1. The
# server inherits the lock.
exec 9>"$PGDATA.lock"
flock -n -E 75 9 || [ $? != 75 ] || die "another container uses $PGDATA"

if [ ! -e "$PGDATA/PG_VERSION" ]; then
	initialize
else
	write_settings "$PGDATA/environment.conf"
fi
exec postgres "$@"
