#!/usr/bin/env bash
#
# deb.sh: build a Debian package for the PostgreSQL of PG_CONFIG, which must be
# Debian's own, in tmp_deb/. The description of the package is in test/dev/debian.

set -euo pipefail
cd "$(dirname "$0")/../.."

die()
{
	echo "test/dev/deb.sh: $*" >&2
	exit 1
}

pg_config=${PG_CONFIG:-pg_config}
pg=$("$pg_config" --version | sed -E 's/^PostgreSQL ([0-9]+).*/\1/')
case $("$pg_config" --bindir) in
	"/usr/lib/postgresql/$pg/bin") ;;
	*) die "$("$pg_config" --bindir) is not where Debian's packages install PostgreSQL" ;;
esac
test/dev/packages.sh deb
version=$(sed -n 's/^   "version": "\(.*\)",$/\1/p' META.json)

work=tmp_deb/fast-ingest-$version
rm -rf tmp_deb
mkdir -p "$work"
tar -c --exclude=./.git --exclude='./tmp_*' . | tar -x --no-same-owner -C "$work"
cp -r test/dev/debian "$work/debian"
for file in control changelog; do
	sed "s/@PG@/$pg/g; s/@VERSION@/$version/; s/@DATE@/$(date -R)/" "$work/debian/$file.in" >"$work/debian/$file"
	rm "$work/debian/$file.in"
done
cp LICENSE "$work/debian/copyright"

log=tmp_deb/build.log
(
	unset MAKEFLAGS MAKELEVEL MFLAGS
	cd "$work"
	dpkg-buildpackage -b -us -uc -j"$(nproc)"
) >"$log" 2>&1 || die "the package was not built. The end of $log: $(tail -n 20 "$log")"
rm -rf "$work"
echo tmp_deb/*-fast-ingest_*.deb
