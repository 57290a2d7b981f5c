#!/usr/bin/env bash
#
# test.sh [SUITE...]: run the tests against tmp_install/, all suites whatever becomes of
# the others. Without arguments that is every test, and with "check" a core of them, the suites
# side by side. The last lines say what each suite came to, and "N passed, N failed". A suite
# without a test counts as a failed one. Reads from the environment:
#   REGRESS, ISOLATION  names of tests, set by make
#   TESTS               single TAP or unit programs (default: all)
#   TEST_JOBS           how many TAP programs run at a time (default: twice the cores)
#   FUZZ_SECONDS        for each fuzz target (default 10)
#   FI_SCREENSHOTS      a directory for what the pages look like, in which the tests' user may write
#                       (default tmp_check/tap/screenshots)
#   VALGRIND            yes: run the server under valgrind; each process that it reports
#                       something of counts as a failed test

# shellcheck source=test/dev/lib.sh
. "$(dirname "$0")/lib.sh"

# needs_packages FOLDER [SUITE...]: is any of the tests one of that folder?
needs_packages()
{
	case "${*:2}" in
		"" | *tap* | *torture*) [[ -z "${TESTS:-}" || "$TESTS" == *test/$1/* ]] ;;
		*) return 1 ;;
	esac
}

# As the caller, who may reach npm's registry. Without them, the tests that need them fail.
for folder in stream dashboard; do
	if [ -z "${FI_LOCKED:-}" ] && needs_packages "$folder" "$@"; then
		test/dev/packages.sh test
		test/dev/npm_packages.sh "$folder" || echo "$script: packages from npm are missing: tests in test/$folder will fail"
	fi
done
prepare "test${VALGRIND:+-valgrind}" "$@"

pgxs=$(dirname "$("$PG_CONFIG" --pgxs)")/../..
check=$tree/tmp_check
cores=$(nproc)
jobs=${TEST_JOBS:-$((2 * cores))}
# Seconds after which a TAP program, and a fuzz target's input, is taken to hang
limit=1800
input_limit=10
sockets=$(mktemp -d /tmp/fast_ingest.XXXXXX)
running=
database=contrib_regression

stop_server()
{
	if [ -n "$running" ]; then
		"$bindir/pg_ctl" -D "$running" -m fast -w -s stop || "$bindir/pg_ctl" -D "$running" -m immediate -w -s stop || true
		running=
	fi
}

# use_valgrind: have the suites use an installation whose server runs under valgrind
use_valgrind()
{
	local in_install=${bindir#"$tree/tmp_install"}

	test/dev/valgrind_install.sh "$in_install"
	bindir=$tree/tmp_build/valgrind$in_install
	# A server built for valgrind also tells it what is lost of palloc'ed memory. That is
	# no leak: it ends with its context.
	case $("$PG_CONFIG" --cflags --cppflags) in
		*USE_VALGRIND*) export LEAK_CHECK=no ;;
	esac
}

# count_reports SUITE: print what valgrind reported, and add each process with a report
# to the failed tests. No process at all means that valgrind did not run.
count_reports()
{
	local logs=("$check/$1/valgrind/"*) files file good bad

	mapfile -t files < <(grep -l '^==[0-9]*== BEGIN' "${logs[@]}")
	for file in "${files[@]}"; do
		echo "--- $file"
		head -n 100 "$file"
	done
	[ -f "${logs[0]}" ] || files+=(none)
	read -r good bad <"$check/$1/counts"
	echo "$1: valgrind watched ${#logs[@]} processes and reports something of ${#files[@]}"
	echo "$good $((bad + ${#files[@]}))" >"$check/$1/counts"
}

# start_server NAME: a server for pg_regress and its like, that has the database
# fast_ingest works in from the start
start_server()
{
	local data=$check/$1/data http_port

	initialize "$data" "$database"
	# No port that PostgreSQL::Test gives (10200 to 32767), nor one of an outgoing connection
	http_port=$(perl -MIO::Socket::INET -e 'for (map { 7000 + int rand 3200 } 1 .. 100) { print and last if IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1", LocalPort => $_) }')
	{
		cat test/regress.conf
		echo "unix_socket_directories = '$sockets'"
		echo "cron.database_name = '$database'"
		echo "cron.host = '$sockets'"
		echo "fast_ingest.database = '$database'"
		echo "fast_ingest.port = $http_port"
	} >>"$data/postgresql.conf"
	running=$data
	start "$data" "$check/$1/server.log"
}

# count SUITE STATUS PASSED FAILED: note what a suite came to
count()
{
	local bad=$4

	if [ "$2" != 0 ] && [ "$bad" = 0 ]; then
		bad=1
		echo "$1 failed with exit status $2"
	elif [ "$3" = 0 ] && [ "$bad" = 0 ]; then
		bad=1
		echo "$1 ran no test"
	fi
	[ "$bad" = 0 ] || echo "see $check/$1"
	echo "$3 $bad" >"$check/$1/counts"
}

# pg_regress_suite SUITE PROGRAM INPUTDIR NAMES
pg_regress_suite()
{
	local log=$check/$1/output status=0 names

	start_server "$1"
	read -ra names <<<"$4"
	"$2" --use-existing --bindir="$bindir" --host="$sockets" --port=5432 --user=postgres --dbname="$database" \
		--inputdir="$3" --outputdir="$check/$1" "${names[@]}" 2>&1 | tee "$log" || status=$?
	stop_server
	if [ -s "$check/$1/regression.diffs" ]; then
		head -n 200 "$check/$1/regression.diffs"
	fi
	# as written until PostgreSQL 15, and since
	count "$1" "$status" "$(grep -cE '\.\.\. ok |^ok ' "$log")" "$(grep -cE '\.\.\. FAILED|^not ok ' "$log")"
}

# tap_suite SUITE JOBS PROGRAM... [-- PROGRAM...]: so many at a time, those behind "--" alone
tap_suite()
{
	local good=0 bad=0 status=0

	if [ $# -gt 2 ]; then
		perl test/dev/tap.pl --jobs="$2" --limit="$limit" "$check/$1/tap" "${@:3}" || status=$?
		read -r good bad <"$check/$1/tap"
	fi
	count "$1" "$status" "$good" "$bad"
}

suite_regress()
{
	pg_regress_suite regress "$pgxs/src/test/regress/pg_regress" . "${REGRESS:-}"
}

suite_isolation()
{
	pg_regress_suite isolation "$pgxs/src/test/isolation/pg_isolation_regress" test/isolation "${ISOLATION:-}"
}

# The TAP programs, which stand in folders named by subject. Those that take longest come
# first, so that none of them is left over at the end.
tap_programs()
{
	{
		printf 'test/%s\n' rollup/exactness.pl load/memory.pl partition/lost_rows.pl rollup/refresh_in_restore.pl \
			stream/huge_transaction.pl load/faults.pl stream/sink_clickhouse_old.pl stream/stream_life.pl \
			stream/stream_refusals.pl stream/decoding.pl stream/sink_clickhouse_new.pl http/several_listeners.pl \
			http/hostile.pl maintain/maintenance.pl flush/staging_full.pl dashboard/looks.pl dashboard/true_numbers.pl
		find test -mindepth 2 -maxdepth 2 -name '*.pl' ! -path 'test/api/*' ! -path 'test/dev/*' | sort
	} | awk '!seen[$0]++'
}

# What makes no sense under valgrind, and why
not_under_valgrind()
{
	case "$1" in
		*/doc_*.pl) echo "it shows what other programs test, at the speed of a server without valgrind" ;;
		*/many_connections.pl) echo "it takes descriptors away that valgrind needs" ;;
		*/exactness.pl | */huge_transaction.pl) echo "it does in a minute what takes an hour under valgrind" ;;
		*/extension_update.pl | */pg_upgrade.pl | */stream_pg_upgrade.pl) echo "it has installations of its own" ;;
		*/faults.pl | */disk_full.pl | */overload.pl) echo "it kills processes, or gives them more than they can do" ;;
		test/dashboard/*) echo "most of it is a browser, which waits for the server" ;;
		*/target_*.pl) echo "it tests what stands behind a server, without one" ;;
		*/memory.pl) echo "it measures memory, of which valgrind needs some itself" ;;
		*) return 1 ;;
	esac
}

# What must run alone, and why. All else may share the machine.
must_be_alone()
{
	case "$1" in
		*/overload.pl) echo "it compares how many events are taken at one time and at another" ;;
		*) return 1 ;;
	esac
}

# PostgreSQL::Test takes from its environment where things are. It gives a port to one
# program at a time, which it notes in a directory that all programs share.
suite_tap()
{
	local suite=${1:-tap} programs=() alone=() program reason

	for program in ${TESTS:-$(tap_programs)}; do
		if [ -n "${VALGRIND:-}" ] && [ -z "${TESTS:-}" ] && reason=$(not_under_valgrind "$program"); then
			echo "$program is left out: $reason"
		elif [ ! -f "$program" ]; then
			echo "there is no $program"
		elif reason=$(must_be_alone "$program"); then
			echo "$program runs alone: $reason"
			alone+=("$program")
		else
			programs+=("$program")
		fi
	done
	export PATH=$bindir:$PATH PERL5LIB=$pgxs/src/test/perl:$tree/test/perl
	export PG_REGRESS=$pgxs/src/test/regress/pg_regress top_builddir=$check/$suite
	if [ -n "${VALGRIND:-}" ]; then
		jobs=1 limit=7200
		# what takes a second takes a minute
		echo "fast_ingest.request_timeout = '3min'" >"$check/$suite/slow.conf"
		export TEMP_CONFIG=$check/$suite/slow.conf PG_TEST_TIMEOUT_DEFAULT="${PG_TEST_TIMEOUT_DEFAULT:-900}"
	fi
	export TESTDIR=$check/$suite TESTDATADIR=$check/$suite/tmp_check TESTLOGDIR=$check/$suite/tmp_check/log
	# many at a time make each of them slow
	export PG_TEST_TIMEOUT_DEFAULT="${PG_TEST_TIMEOUT_DEFAULT:-600}"
	[ "${#alone[@]}" = 0 ] || programs+=(-- "${alone[@]}")
	tap_suite "$suite" "$jobs" "${programs[@]}"
}

# The way of an event and of an answer, from the first byte to the last: for `make check`
suite_core()
{
	TESTS=$(printf 'test/%s\n' http/protocol.pl events/bulk.pl events/validation.pl events/json.pl \
		events/idempotency.pl auth/api_keys.pl flush/dead_letters.pl query/metrics.pl query/site_stats.pl \
		query/paging_and_csv.pl rollup/other_keys.pl server/workers.pl)
	suite_tap core
}

# The long form of the tests of faults, hostile clients and overload, about 20
# minutes, and its table of results
suite_torture()
{
	local jobs=1 limit=7200

	export FI_TORTURE=1 FI_RESULTS=$check/torture/results
	TESTS=${TESTS:-$(tap_programs | xargs grep -l FI_TORTURE)}
	suite_tap torture
	cat "$FI_RESULTS"
}

suite_unit()
{
	local programs=() program

	make -s -j"$cores" unit-programs
	# not what is left of programs that have been renamed
	for program in ${TESTS:-$(printf '%s\n' test/unit/*_test.c | sed 's|^test/\(.*\)\.c$|tmp_build/\1|')}; do
		[ ! -x "$program" ] || programs+=("$program")
	done
	tap_suite unit "$cores" "${programs[@]}"
}

# fuzz NAME SECONDS: new inputs are kept in tmp_build, so that the next run goes on
# from there
fuzz()
{
	local log=$check/fuzz/$1.log corpus=("tmp_build/corpus/$1")

	mkdir -p "${corpus[0]}"
	[ ! -d "test/fuzz/corpus/$1" ] || corpus+=("test/fuzz/corpus/$1")
	if "tmp_build/fuzz/$1" -max_total_time="$2" -timeout="$input_limit" -print_final_stats=1 \
		-artifact_prefix="$check/fuzz/$1-" "${corpus[@]}" >"$log" 2>&1; then
		echo "$1: no fault in $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs"
	else
		tail -n 50 "$log"
		touch "$check/fuzz/$1.failed"
	fi
}

# As many targets at a time as there are cores
suite_fuzz()
{
	local seconds=${FUZZ_SECONDS:-10} all=0 bad=0 source

	make -s -j"$cores" fuzz-programs
	for source in test/fuzz/*_fuzz.c; do
		[ -f "$source" ] || continue
		all=$((all + 1))
		while [ "$(jobs -rp | wc -l)" -ge "$cores" ]; do
			wait -n
		done
		fuzz "$(basename "$source" .c)" "$seconds" &
	done
	wait
	bad=$(find "$check/fuzz" -name '*.failed' | wc -l)
	count fuzz 0 $((all - bad)) "$bad"
}

# run_suite SUITE: in a process of its own: when it breaks, the others still run
run_suite()
{
	echo "# $1"
	export REPORTS=$check/$1/valgrind
	mkdir -p "$check/$1" ${VALGRIND:+"$REPORTS"}
	set +e
	(
		set -e
		trap stop_server EXIT
		"suite_$1"
		[ -z "${VALGRIND:-}" ] || count_reports "$1"
	) 9>&-
	set -e
}

# run_together TAP SUITE...: a suite of TAP programs and others beside it, which are shown when
# all have ended. The TAP programs wait most of their time, which leaves the processor to the
# others. Fuzzing gives way to them all.
run_together()
{
	local suite

	mkdir -p "$check"
	for suite in "${@:2}"; do
		[ "$suite" = fuzz ] || run_suite "$suite"
	done >"$check/short.output" 2>&1 &
	if [[ " $* " == *" fuzz "* ]]; then
		renice -n 10 "$BASHPID" >/dev/null
		input_limit=60
		run_suite fuzz
	fi >"$check/fuzz.output" 2>&1 &
	run_suite "$1"
	wait
	cat "$check/short.output" "$check/fuzz.output"
}

trap 'rm -rf "$sockets"' EXIT
rm -rf "$check"
passed=0
failed=0
[ -z "${VALGRIND:-}" ] || use_valgrind
case "$*" in
	"") suites=(regress isolation tap unit fuzz) && run_together tap regress isolation unit fuzz ;;
	check) suites=(regress core unit) && run_together core regress unit ;;
	*)
		suites=("$@")
		for suite in "$@"; do
			run_suite "$suite"
		done
		;;
esac
for suite in "${suites[@]}"; do
	if ! read -r good bad 2>/dev/null <"$check/$suite/counts"; then
		good=0 bad=1
		echo "$suite broke off"
	fi
	echo "$suite: $good passed, $bad failed"
	passed=$((passed + good))
	failed=$((failed + bad))
done
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
