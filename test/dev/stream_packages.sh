#!/usr/bin/env bash
#
# stream_packages.sh: what the tests of streams take from npm, as test/stream/package-lock.json
# says, into tmp_stream_packages/ of the tree in which tests run. The engine of a new ClickHouse
# is most of it, 550 MB. Nothing is done where they are already. test/dev/packages.sh has node
# and npm.

# shellcheck source=test/dev/lib.sh
. "$(dirname "$0")/lib.sh"

if [ "$(uname -sm)" != 'Linux x86_64' ]; then
	echo "$script: npm's chdb has an engine for Linux on x86-64 only: here the tests with a new ClickHouse are left out"
fi

place=$tree
if [ "$(id -u)" = 0 ]; then
	place=$(copy_of_tree)
	install -d -m 755 "${place%/*}"
	[ -d "$place" ] || install -d -m 700 -o "$(user_for_root)" "$place"
fi
place+=/tmp_stream_packages
lock=test/stream/package-lock.json

if ! cmp -s "$lock" "$place/installed"; then
	command -v npm >/dev/null || die "npm is missing: test/dev/packages.sh test"
	echo "$script: npm install in $place"
	rm -rf "$place"
	mkdir "$place"
	cp test/stream/package.json "$lock" "$place/"
	# not npm ci, which wants the engines of all platforms in the lock file
	(cd "$place" && npm install --ignore-scripts --no-audit --no-fund --no-progress --loglevel=error)
	# for npm, an engine that it could not get is optional
	[ "$(uname -sm)" != 'Linux x86_64' ] || [ -d "$place/node_modules/@chdb/lib-linux-x64-gnu" ] ||
		die "npm has not installed the engine of chdb in $place"
	[ -d "$place/node_modules/standardwebhooks" ] || die "npm has not installed standardwebhooks in $place"
	chmod -R a+rX "$place"
	cp "$lock" "$place/installed"
fi
