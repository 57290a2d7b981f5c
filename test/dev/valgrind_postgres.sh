#!/usr/bin/env bash
#
# valgrind_postgres.sh: stands in for bin/postgres in the installation that
# valgrind_install.sh makes, and runs the server, which is beside it as
# postgres.real, under valgrind's memcheck. What this reports goes to one file for
# each process in $REPORTS. LEAK_CHECK: as valgrind's option. What LLVM does is none of
# ours either. What initdb runs is none of ours and goes unchecked.

set -eu
here=$(dirname "$0")

case ${1:-} in
	--boot | --single | --check | --describe-config | --version | -V)
		exec "$here/postgres.real" "$@"
		;;
esac

# Memory that is still reachable at the end belongs to somebody; lost memory is a leak
exec valgrind --quiet --log-file="$REPORTS/%p" --error-markers=BEGIN,END --num-callers=30 \
	--gen-suppressions=all --suppressions="$here/valgrind.supp" \
	--leak-check="${LEAK_CHECK:-full}" --show-leak-kinds=definite --errors-for-leak-kinds=definite \
	"$here/postgres.real" "$@" -c jit=off
