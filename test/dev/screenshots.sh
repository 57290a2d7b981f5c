#!/usr/bin/env bash
#
# screenshots.sh: make the pictures of the dashboard for README.md and doc/, in doc/images, of the
# cluster of `make run` (FI_PORT=8080) after `make demo`, in Chromium. Look at them before they are
# committed.

# shellcheck source=test/dev/lib.sh
. "$(dirname "$0")/lib.sh"

url=http://127.0.0.1:${FI_PORT:-8080}
packages=$tree
[ "$(id -u)" != 0 ] || packages=$(copy_of_tree)
packages+=/tmp_dashboard_packages

curl -sf -o /dev/null "$url/ready" || die "$url is not ready: make run"
curl -sf "$url/metrics?site=shop.example" | grep -q '"total_events":[1-9]' || die "there is nothing to show: make demo"
test/dev/packages.sh test
test/dev/npm_packages.sh dashboard
node test/dashboard/screenshots.mjs "$packages" "$url" doc/images
