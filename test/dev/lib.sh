# lib.sh: what the scripts behind `make run` and `make test` share. They source
# it first; then the current directory is the top of the tree, which holds
#   tmp_install/   a copy of the PostgreSQL installation with fast_ingest in it
#   tmp_run/       the cluster of `make run`: data, log, socket. FI_RUN names another directory
#   tmp_check/     what the tests leave behind
#
# PostgreSQL refuses to run as root. For root all of this happens as an ordinary
# user, in a copy of the tree that this user can read: see prepare.
# shellcheck shell=bash

set -euo pipefail
cd "$(dirname "$0")/../.."
tree=$PWD
script=test/dev/${0##*/}
run=$(realpath -m "${FI_RUN:-tmp_run}")

# Nothing of the caller's environment may lead to another server or locale
unset PGHOST PGHOSTADDR PGUSER PGDATABASE PGPASSWORD PGSERVICE PGOPTIONS PGDATA PGSSLMODE "${!LC_@}"
export LANG=C.UTF-8 PG_CONFIG="${PG_CONFIG:-pg_config}"
# tests put another one first in PATH, which does not find the headers
PG_CONFIG=$(command -v "$PG_CONFIG" || echo "$PG_CONFIG")

die()
{
	echo "$script: $*" >&2
	exit 1
}

# The copy's place: of this tree, and where only root can make directories
copy_of_tree()
{
	echo "/var/lib/fast_ingest-dev/$(cksum <<<"$tree" | cut -d ' ' -f 1)"
}

# One script at a time may work in a tree; the lock is kept until the script ends
lock()
{
	if [ -z "${FI_LOCKED:-}" ]; then
		exec 9>"$1/tmp_lock"
		flock -n 9 || { echo "$script: waiting for another one in $1" && flock 9; }
		export FI_LOCKED=yes
	fi
}

# as_user DIR [ARGUMENT...]: go on with this script as its directory's owner
as_user()
{
	local user

	user=$(stat -c %U "$1")
	[ "$user" != root ] || die "$1 belongs to root"
	cd "$1"
	exec setpriv --reuid="$user" --regid="$(id -g "$user")" --init-groups \
		env HOME="$1" USER="$user" LOGNAME="$user" "$1/$script" "${@:2}"
}

# leave_root [ARGUMENT...]: as root, go on in the copy that prepare made
leave_root()
{
	local copy

	if [ "$(id -u)" = 0 ]; then
		copy=$(copy_of_tree)
		[ -d "$copy" ] || die "there is no cluster: make run"
		as_user "$copy" "$@"
	fi
}

# user_for_root: print who works instead of root: postgres, or fast_ingest where there is
# no such user
user_for_root()
{
	local user=postgres

	if ! id "$user" >/dev/null 2>&1; then
		user=fast_ingest
		id "$user" >/dev/null 2>&1 || useradd --system --home-dir /nonexistent --shell /usr/sbin/nologin "$user"
	fi
	echo "$user"
}

# prepare run|test [ARGUMENT...]: packages, build, tmp_install. Root builds in the
# tree, copies it, and goes on there as another user. Sets bindir.
prepare()
{
	local copy user

	test/dev/packages.sh "$1"
	if [ "$(id -u)" = 0 ]; then
		user=$(user_for_root)
		copy=$(copy_of_tree)
		install -d -m 755 "${copy%/*}"
		install -d -m 700 -o "$user" "$copy"
		lock "$copy"
		make -s -j"$(nproc)" all
		find "$copy" -mindepth 1 -maxdepth 1 ! -name 'tmp_*' -exec rm -rf {} +
		tar -c --exclude=./.git --exclude='./tmp_*' . | tar -x --no-overwrite-dir -C "$copy"
		find "$copy" -mindepth 1 -maxdepth 1 ! -name 'tmp_*' -exec chown -R "$user": {} +
		as_user "$copy" "${@:2}"
	fi
	lock "$tree"
	make -s -j"$(nproc)" all
	make -s tmp-install
	bindir=$tree/tmp_install$("$PG_CONFIG" --bindir)
}

# initialize DIR DATABASE: a cluster in DIR with that database in it
initialize()
{
	"$bindir/initdb" -D "$1" -U postgres -A trust -E UTF8 --locale=C --no-sync >"$1.initdb" 2>&1 ||
		die "initdb failed: $(tail -n 3 "$1.initdb")"
	"$bindir/postgres" --single -D "$1" postgres >>"$1.initdb" 2>&1 <<<"CREATE DATABASE $2" ||
		die "could not create the database: $(tail -n 3 "$1.initdb")"
	rm "$1.initdb"
}

# start DIR LOG: start the cluster in DIR
start()
{
	"$bindir/pg_ctl" -D "$1" -l "$2" -w -s start 9>&- ||
		die "the server did not start. The end of $2: $(tail -n 20 "$2")"
}

# Directories whose path leaves no room for a socket's name need another one
socket_directory()
{
	if [ "${#1}" -lt 80 ]; then
		echo "$1"
	else
		mktemp -d /tmp/fast_ingest.XXXXXX
	fi
}

# use_cluster: let psql and the like find the running cluster of `make run`, or die
use_cluster()
{
	local pidfile=$run/data/postmaster.pid

	bindir=$tree/tmp_install$("$PG_CONFIG" --bindir)
	"$bindir/pg_ctl" -D "$run/data" status >/dev/null 2>&1 || die "there is no cluster running: make run"
	PGPORT=$(sed -n 4p "$pidfile")
	PGHOST=$(sed -n 5p "$pidfile")
	export PGHOST PGPORT PGUSER=postgres PGDATABASE=events
}

# sql COMMAND: in that cluster
sql()
{
	"$bindir/psql" -X -q -A -t -v ON_ERROR_STOP=1 -c "$1"
}

# shop_opened: print the day, in Unix seconds, on which demo_shop.sh began, if it has
shop_opened()
{
	sql "SELECT extract(epoch FROM min(group_key)::timestamptz)::bigint FROM fi_metrics('shop_opened', group_by => 'day', fill => false)"
}

# need_api_key: die unless there is one, or none is needed
need_api_key()
{
	[ "$(sql 'SHOW fast_ingest.require_api_key')" = off ] || [ -n "${FI_API_KEY:-}" ] ||
		die "the cluster requires API keys. Make one: SELECT fi_create_api_key('demo', '{write,read}'). Then: FI_API_KEY=... make demo"
}

# post_events URL: post lines of JSON, 1,000 at a time, with the key FI_API_KEY if there is one,
# and print how many events were accepted
post_events()
{
	local answers

	# shellcheck disable=SC2016 # split expands it
	answers=$(url=$1 split -l 1000 --filter='curl -sS --fail-with-body --retry 5 -m 60 -H "Content-Type: application/x-ndjson" \
		${FI_API_KEY:+-H "Authorization: Bearer $FI_API_KEY"} --data-binary @- "$url" && echo') ||
		die "the events were refused: $answers"
	jq -s 'map(.accepted) | add // 0' <<<"$answers"
}
