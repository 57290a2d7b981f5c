#!/usr/bin/env bash
#
# dist.sh: make the release archive of what is committed, as PGXN wants it:
# tmp_dist/fast_ingest-VERSION.zip, and the same as .tar.gz.

set -euo pipefail
cd "$(dirname "$0")/../.."

die()
{
	echo "test/dev/dist.sh: $*" >&2
	exit 1
}

command -v git >/dev/null || die "git is missing"
[ "$(git rev-parse --show-toplevel 2>/dev/null)" = "$PWD" ] || die "$PWD is not a git repository"
version=$(sed -n 's/^   "version": "\(.*\)",$/\1/p' META.json)
[ -n "$version" ] || die "META.json has no version"

if [ -n "$(git status --porcelain)" ]; then
	echo "test/dev/dist.sh: what is not committed is left out" >&2
fi
mkdir -p tmp_dist
for format in zip tar.gz; do
	file=tmp_dist/fast_ingest-$version.$format
	git archive --prefix="fast_ingest-$version/" -o "$file" HEAD
	echo "$file"
done
