#!/usr/bin/env bash
#
# demo_shop.sh: fill the cluster of `make run` with a made-up month of a shop, its blog
# and its app, until now, as test/dev/demo_shop.pl describes it. What was stored must be
# what was made up. Run again, it adds what has happened since; events that are there
# already stay as they are.

# shellcheck source=test/dev/lib.sh
. "$(dirname "$0")/lib.sh"
leave_root "$@"
use_cluster

api=http://127.0.0.1:$(sql 'SHOW fast_ingest.port')
url=$api/events/bulk
sites="'{app.example,blog.example,shop.example}'::text[]"
need_api_key

# What an operator may want cards of: NAME ARGUMENTS
while read -r name arguments; do
	sql "SELECT fi_add_breakdown('$name', $arguments, per_site => true)
		WHERE NOT EXISTS (SELECT FROM fi_breakdowns() WHERE name = '$name')" >/dev/null
done <<-EOB
	campaign 'campaign_id'
	country metadata => 'country'
	device metadata => 'device'
	plan metadata => 'plan'
	source metadata => 'source'
	label 'tags'
EOB

# Post lines of JSON that must all be rejected
post_till()
{
	local answer

	answer=$(curl -sS -m 60 ${FI_API_KEY:+-H "Authorization: Bearer $FI_API_KEY"} \
		-H 'Content-Type: application/x-ndjson' --data-binary @- "$url")
	[ "$(jq -r .status <<<"$answer")" = rejected ] || die "bad events were answered $answer"
	jq -r '"rejected: " + .errors[].error' <<<"$answer"
}

drop_till_breakdown()
{
	sql "SELECT fi_drop_breakdown(name) FROM fi_breakdowns() WHERE name = 'demo_till'" >/dev/null
}

# Two tills of the shop. The one posts what is not valid. The other writes prices with a
# comma, which the database cannot read while an operator has a breakdown that expects a
# number; so these events become dead letters, and can be stored later
echo "posting events that are not valid, and some that the database refuses"
now=$(date +%s)
till='"event_name":"till_sale","channel":"api","site_id":"shop.example"'
post_till <<-EOB
	{$till,"user_id":"till_1","timestamp":42}
	{$till,"timestamp":$now}
	{$till,"user_id":"till_1","timestamp":"noon"}
	{$till,"user_id":"till_1","timestamp":$now,"colour":"red"}
EOB

if [ "$(sql "SELECT EXISTS (SELECT FROM fi_dead_letters(event => '{\"event_name\": \"till_sale\"}'))
		OR EXISTS (SELECT FROM fi_metrics('till_sale') WHERE total_events > 0)")" = f ]; then
	# also one that was left by a run that was interrupted
	drop_till_breakdown
	sql "SELECT fi_add_breakdown('demo_till', \$\$CASE WHEN event_name = 'till_sale' THEN (metadata->>'price')::numeric END\$\$)" >/dev/null
	for price in 12,90 44,50 5,90; do
		echo "{$till,\"user_id\":\"till_2\",\"timestamp\":$now,\"metadata\":{\"demo\":true,\"price\":\"$price\"}}"
	done | post_till
	drop_till_breakdown
fi

# The day on which the shop is first watched stays the same. After some weeks only the
# last ones are posted
start=$(shop_opened)
start=${start:-$((now - now % 86400 - 30 * 86400))}
since=$((now - 45 * 86400))
since=$((since > start ? since : start))
counts=$(mktemp)
trap 'rm -f "$counts"' EXIT

echo "posting a made-up month of shop.example, blog.example and app.example to $url, 1,000 events at a time"
accepted=$(perl test/dev/demo_shop.pl "$start" "$since" "$now" "$counts" | post_events "$url")
echo "$accepted events accepted"
sql 'SELECT FROM fi_refresh()'

"$bindir/psql" -X -q -P footer=off -v ON_ERROR_STOP=1 <<-EOB
	SELECT site, total_events AS events, unique_users AS users
	FROM unnest($sites) AS site, fi_metrics(since => to_timestamp($start), filter => jsonb_build_object('site', site)) ORDER BY events DESC;
EOB

# Each site's events and users: as made up, of the first 30 days, and as in the raw rows
if [ "$since" = "$start" ]; then
	stored=$(sql "SELECT concat_ws(' ', site, group_key, total_events, unique_users)
		FROM unnest($sites) AS site, fi_metrics(since => to_timestamp($start), until => to_timestamp($start) + interval '720 hours',
			group_by => 'event', filter => jsonb_build_object('site', site))
		ORDER BY (site || ' ' || group_key) COLLATE \"C\"")
	[ "$stored" = "$(cat "$counts")" ] || die "made up and stored are not the same: $(diff "$counts" - <<<"$stored")"
fi
differences=$(sql "
	(SELECT site_id, event_name, count(*) AS total_events, count(DISTINCT user_id) AS unique_users FROM fast_ingest.events
	WHERE site_id = ANY ($sites) AND ts >= to_timestamp($start) GROUP BY 1, 2)
	EXCEPT
	SELECT site, group_key, total_events, unique_users
	FROM unnest($sites) AS site, fi_metrics(since => to_timestamp($start), group_by => 'event', filter => jsonb_build_object('site', site))")
[ -z "$differences" ] || die "the raw rows say $differences"
echo "events and users are those that were made up, and what the raw rows say"

echo "It is made up: metadata->>'demo' is true in each of these events."
echo "the dashboard: $api/?site=shop.example"
