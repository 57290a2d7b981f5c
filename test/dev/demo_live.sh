#!/usr/bin/env bash
#
# demo_live.sh: after demo_shop.sh, post the events of the made-up shop for FI_SECONDS
# seconds (default 300), each when it happens, so that the live view moves.

# shellcheck source=test/dev/lib.sh
. "$(dirname "$0")/lib.sh"
leave_root "$@"
use_cluster

seconds=${FI_SECONDS:-300}
[[ $seconds =~ ^[1-9][0-9]{0,3}$ ]] || die "SECONDS is $seconds: expected 1 to 9999"
api=http://127.0.0.1:$(sql 'SHOW fast_ingest.port')
need_api_key
start=$(shop_opened)
[ -n "$start" ] || die "there is no shop yet: make demo"

now=$(date +%s)
echo "posting what happens in the next $seconds seconds: $api/?site=shop.example&view=live"
posted=0
while IFS= read -r line; do
	time=${line#*\"timestamp\":}
	time=${time%%,*}
	while [ "$(date +%s)" -lt "$time" ]; do
		sleep 0.2
	done
	post_events "$api/events/bulk" <<<"$line" >/dev/null
	posted=$((posted + 1))
done < <(perl test/dev/demo_shop.pl "$start" "$now" $((now + seconds)))
echo "$posted events posted"
