#!/usr/bin/env bash
#
# npm_packages.sh stream|dashboard: what the tests of a folder take from npm, as
# test/FOLDER/package-lock.json says, into tmp_FOLDER_packages/ of the tree in which tests run.
# Nothing is done where they are already. test/dev/packages.sh has node and npm.
#
#   stream      most of it is the engine of a new ClickHouse, 550 MB
#   dashboard   what drives a browser, and what looks for barriers in a page: no browser, 20 MB

# shellcheck source=test/dev/lib.sh
. "$(dirname "$0")/lib.sh"

folder=$1
place=$tree
if [ "$(id -u)" = 0 ]; then
	place=$(copy_of_tree)
	install -d -m 755 "${place%/*}"
	[ -d "$place" ] || install -d -m 700 -o "$(user_for_root)" "$place"
fi
place+=/tmp_${folder}_packages
lock=test/$folder/package-lock.json

# The packages without which tests fail. For npm, an engine that it could not get is optional
needed()
{
	sed -n '/"dependencies"/,/}/s/^\t\t"\([^"]*\)": .*/\1/p' "test/$folder/package.json"
	if [ "$folder" = stream ] && [ "$(uname -sm)" = 'Linux x86_64' ]; then
		echo @chdb/lib-linux-x64-gnu
	fi
}

if [ "$folder" = stream ] && [ "$(uname -sm)" != 'Linux x86_64' ]; then
	echo "$script: npm's chdb has an engine for Linux on x86-64 only: here the tests with a new ClickHouse are left out"
fi
if ! cmp -s "$lock" "$place/installed"; then
	command -v npm >/dev/null || die "npm is missing: test/dev/packages.sh test"
	echo "$script: npm install in $place"
	rm -rf "$place"
	mkdir "$place"
	cp "test/$folder/package.json" "$lock" "$place/"
	# not npm ci, which wants the engines of all platforms in the lock file
	(cd "$place" && npm install --ignore-scripts --no-audit --no-fund --no-progress --loglevel=error)
	for package in $(needed); do
		[ -d "$place/node_modules/$package" ] || die "npm has not installed $package in $place"
	done
	chmod -R a+rX "$place"
	cp "$lock" "$place/installed"
fi
