#!/usr/bin/env bash
#
# cluster.sh stop|reset|psql|logs: what can be done with the cluster of `make run`

# shellcheck source=test/dev/lib.sh
. "$(dirname "$0")/lib.sh"
leave_root "$@"

case ${1:-} in
	stop | reset)
		if (use_cluster) 2>/dev/null; then
			use_cluster
			"$bindir/pg_ctl" -D "$run/data" -m fast -w stop
		else
			echo "there is no cluster running"
		fi
		if [ "$1" = reset ]; then
			rm -rf "${run:?}"/{data,data.initdb,log,bin,load_test,clickhouse}
			[ ! -d "$run" ] || rmdir --ignore-fail-on-non-empty "$run"
		fi
		;;
	psql)
		use_cluster
		exec "$bindir/psql"
		;;
	logs)
		[ -f "$run/log" ] || die "there is no cluster: make run"
		if [ -t 1 ]; then
			exec tail -n 100 -F "$run/log"
		fi
		tail -n 100 "$run/log"
		;;
	*)
		die "stop, reset, psql or logs?"
		;;
esac
