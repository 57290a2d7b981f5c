#!/usr/bin/env bash
#
# demo_log.sh: post test/data/web_events.ndjson.gz, 9,999 requests of a website's log,
# to the cluster of `make run`, and show what was stored and what the metrics say,
# which must be what the raw rows say. Events that are there already stay as they
# are.

# shellcheck source=test/dev/lib.sh
. "$(dirname "$0")/lib.sh"
leave_root "$@"
use_cluster

api=http://127.0.0.1:$(sql 'SHOW fast_ingest.port')
url=$api/events/bulk
need_api_key

echo "posting test/data/web_events.ndjson.gz to $url, 1,000 events at a time"
accepted=$(gzip -dc test/data/web_events.ndjson.gz | post_events "$url")
echo "$accepted events accepted"

# The file's website and days: the table may hold other events
demo="FROM fast_ingest.events WHERE site_id = 'semicomplete.com' AND ts >= '2015-05-17 UTC' AND ts < '2015-05-21 UTC'"
"$bindir/psql" -X -q -P footer=off \
	-c "SELECT count(*) AS rows_stored, count(DISTINCT user_id) AS users $demo" \
	-c "SELECT event_name, count(*) $demo GROUP BY event_name ORDER BY count(*) DESC"

stored=$(sql "SELECT string_agg(event_name || ' ' || n, ', ' ORDER BY n DESC) FROM (SELECT event_name, count(*) AS n $demo GROUP BY event_name) AS e")
stored+=", users $(sql "SELECT count(DISTINCT user_id) $demo")"
expected='asset_load 5418, page_view 3301, feed_fetch 1060, http_error 220, users 1753'
[ "$stored" = "$expected" ] || die "expected $expected"

site=semicomplete.com
day=2015-05-18
target="/stats?site_id=$site&date=$day"
stats=$(curl -sS --fail-with-body -m 60 ${FI_API_KEY:+-H "Authorization: Bearer $FI_API_KEY"} "$api$target") || die "GET $target was refused: $stats"
printf '\nGET %s\n%s\n\n' "$target" "$stats"
"$bindir/psql" -X -q -P footer=off -c "SELECT * FROM fi_metrics('page_view')"

# What both must be, counted from the raw rows
differences=$(sql "
	WITH views AS (
		SELECT user_id, path FROM fast_ingest.events
		WHERE site_id = '$site' AND ts >= '$day UTC' AND ts < timestamptz '$day UTC' + interval '24 hours'
	), top AS (
		SELECT path COLLATE \"C\" AS path, count(*) AS n FROM views
		WHERE path IS NOT NULL GROUP BY 1 ORDER BY n DESC, 1 LIMIT 10
	)
	SELECT jsonb_build_object('site_id', '$site', 'date', '$day', 'total_views', count(*), 'unique_users', count(DISTINCT user_id),
		'top_paths', (SELECT jsonb_agg(jsonb_build_object('path', path, 'views', n) ORDER BY n DESC, path) FROM top))
	FROM views
	EXCEPT SELECT \$answer\$$stats\$answer\$::jsonb
	UNION ALL
	SELECT to_jsonb(raw) FROM (
		SELECT count(*) AS total_events, count(DISTINCT user_id) AS unique_users FROM fast_ingest.events WHERE event_name = 'page_view'
		EXCEPT SELECT total_events, unique_users FROM fi_metrics('page_view')
	) AS raw")
[ -z "$differences" ] || die "the raw rows say $differences"
echo "both are what the raw rows say"
