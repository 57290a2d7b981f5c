#!/usr/bin/env bash
#
# demo.sh: post test/data/web_events.ndjson.gz, 9,999 requests of a website's log,
# to the cluster of `make run`, and show what was stored. Events that are there
# already stay as they are.

# shellcheck source=test/dev/lib.sh
. "$(dirname "$0")/lib.sh"
leave_root "$@"
use_cluster

url=http://127.0.0.1:$(sql 'SHOW fast_ingest.port')/events/bulk
answers=$(mktemp)
trap 'rm -f "$answers"' EXIT

echo "posting test/data/web_events.ndjson.gz to $url, 1,000 events at a time"
# shellcheck disable=SC2016 # split expands it
gzip -dc test/data/web_events.ndjson.gz |
	url=$url split -l 1000 --filter='curl -sS --fail-with-body --retry 5 -m 60 -H "Content-Type: application/x-ndjson" \
		--data-binary @- "$url" && echo' >"$answers" ||
	die "the events were refused: $(cat "$answers")"
echo "$(jq -s 'map(.accepted) | add' "$answers") events accepted"

# The file's website and days: the table may hold other events
demo="FROM fast_ingest.events WHERE site_id = 'semicomplete.com' AND ts >= '2015-05-17 UTC' AND ts < '2015-05-21 UTC'"
"$bindir/psql" -X -q -P footer=off \
	-c "SELECT count(*) AS rows_stored, count(DISTINCT user_id) AS users $demo" \
	-c "SELECT event_name, count(*) $demo GROUP BY event_name ORDER BY count(*) DESC"

stored=$(sql "SELECT string_agg(event_name || ' ' || n, ', ' ORDER BY n DESC) FROM (SELECT event_name, count(*) AS n $demo GROUP BY event_name) AS e")
stored+=", users $(sql "SELECT count(DISTINCT user_id) $demo")"
expected='asset_load 5418, page_view 3301, feed_fetch 1060, http_error 220, users 1753'
[ "$stored" = "$expected" ] || die "expected $expected"
