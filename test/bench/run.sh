#!/usr/bin/env bash
#
# run.sh: the figures of `make bench`.
#
# Starts a PostgreSQL cluster of its own with default settings and fast_ingest in
# it, measures, prints a table, and removes the cluster.  All traffic stays on
# 127.0.0.1.  A figure below its target is no failure; an answer that is not 202,
# or a row too few or too many in the database, is one.
#
#   single   single events over 64 connections by wrk, against null_server, and
#            against fast_ingest with deduplicate = content and = key
#   bulk     1,000 events per request, against COPY of the same rows by psql
#   latency  one event at a time over one idle connection
#   pairs    single events and bulk, with one and with two pairs of listener and flusher
#   memory   private memory of listener and flusher over 10 million events
#   metrics  queries about 20 million events, and about 2 million, beside the same
#            on the raw rows; the same while 20,000 events/s come in; bytes of the rollup
#   questions  what dashboards ask, about 20 million events of 1,000 sites, and about 2 million,
#            beside the same on the raw rows; ranges that end now while 10,000 events/s come in
#   peers    the same questions of fast_ingest, of its raw rows, of DuckDB and of the engine of
#            ClickHouse, about the same 20 million events; their answers must be equal
#   refresh  merging 1.2 million events of one minute
#   trigger  single events and bulk with the rollup's triggers, against without
#   streams  what a stream carries into ClickHouse, how late, its processor time and memory;
#            ingestion beside streams to targets that are well, dead and hanging
#
# Needs wrk, curl, cc and libmicrohttpd's headers, and for peers node and npm.  Reads from the environment:
#   BINDIR             PostgreSQL's programs (default: pg_config --bindir)
#   STATE              a writable directory on the disk to measure (default: a new one)
#   ROUNDS             rounds of each figure (default 5)
#   SECONDS_PER_ROUND  of single events (default 5)
#   BULK_EVENTS        events of each bulk round, in thousands (default 1000)
#   BULK_CONNECTIONS   (default 4)
#   MEMORY_STEPS       of a million events each (default 10)
#   METRICS_EVENTS     of the large table of metrics, and of peers (default 20000000)
#   METRICS_SMALL      events of the small one; 0 leaves it out (default 2000000)
#   METRICS_SECONDS    of queries while events come in, and while none do (default 30)
#   REFRESH_EVENTS     (default 1200000)
#   STREAM_EVENTS      of one measurement of a stream, in thousands (default 2000)
#   STREAM_BULK        of bulk ingestion beside one, in thousands (default 500)
#   STREAM_COPY_ROWS   of one transaction (default 2000000)
#   STREAM_ROUNDS      (default 3)
#   STREAM_PARTS       of streams: throughput, delay, beside, memory (default all)
#   ONLY               single, bulk, latency, pairs, memory, metrics, questions, peers, refresh,
#                      trigger, streams, or several with commas (default all)

set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
BINDIR=${BINDIR:-$(pg_config --bindir)}
ROUNDS=${ROUNDS:-5}
SECONDS_PER_ROUND=${SECONDS_PER_ROUND:-5}
BULK_EVENTS=${BULK_EVENTS:-1000}
BULK_CONNECTIONS=${BULK_CONNECTIONS:-4}
MEMORY_STEPS=${MEMORY_STEPS:-10}
METRICS_EVENTS=${METRICS_EVENTS:-20000000}
METRICS_SMALL=${METRICS_SMALL:-2000000}
METRICS_SECONDS=${METRICS_SECONDS:-30}
REFRESH_EVENTS=${REFRESH_EVENTS:-1200000}
STREAM_EVENTS=${STREAM_EVENTS:-2000}
STREAM_BULK=${STREAM_BULK:-500}
STREAM_COPY_ROWS=${STREAM_COPY_ROWS:-2000000}
STREAM_ROUNDS=${STREAM_ROUNDS:-3}
STREAM_PARTS=${STREAM_PARTS:-throughput,delay,beside,memory}
ONLY=${ONLY:-single,bulk,latency,pairs,memory,metrics,questions,peers,refresh,trigger,streams}

# shellcheck source=test/bench/lib.sh
. "$here/lib.sh"
# shellcheck source=test/bench/ingest.sh
. "$here/ingest.sh"
# shellcheck source=test/bench/pairs.sh
. "$here/pairs.sh"
# shellcheck source=test/bench/metrics.sh
. "$here/metrics.sh"
# shellcheck source=test/bench/questions.sh
. "$here/questions.sh"
# shellcheck source=test/bench/peers.sh
. "$here/peers.sh"
# shellcheck source=test/bench/rollup.sh
. "$here/rollup.sh"
# shellcheck source=test/bench/stream_targets.sh
. "$here/stream_targets.sh"
# shellcheck source=test/bench/streams.sh
. "$here/streams.sh"

print_table()
{
	print_head
	ingest_figures
	pairs_figures
	metrics_figures
	questions_figures
	peers_figures
	rollup_figures
	streams_figures
	echo
	echo "ratio: median / target.  Stored events by fi_status() and count(*), not by the load generator."
	echo "growth: the most that private memory was above what it was after 2 million events."
}

main()
{
	local program

	[ "$(id -u)" != 0 ] || die "initdb refuses root: run this as another user"
	for program in wrk curl; do
		command -v "$program" >/dev/null || die "$program is missing"
	done

	trap cleanup EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	if [ -n "${STATE:-}" ]; then
		work=$(mktemp -d "$STATE/bench.XXXXXX")
	else
		work=$(mktemp -d)
	fi
	: >"$work/figures"

	build_programs
	start_cluster
	start_null_server
	print_machine

	if wanted single; then bench_single; fi
	if wanted bulk; then bench_bulk; fi
	if wanted latency; then bench_latency; fi
	if wanted pairs; then bench_pairs; fi
	if wanted memory; then bench_memory; fi
	if wanted metrics; then bench_metrics; fi
	if wanted questions; then bench_questions; fi
	if wanted peers; then bench_peers; fi
	if wanted refresh; then bench_refresh; fi
	if wanted trigger; then bench_trigger; fi
	if wanted streams; then bench_streams; fi

	print_table
	if [ "$failures" -gt 0 ]; then
		die "$failures problems"
	fi
}

main "$@"
