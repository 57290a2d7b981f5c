#!/usr/bin/env bash
#
# tmp_install.sh: copy the PostgreSQL installation of PG_CONFIG to tmp_install/,
# if it is not there yet or has changed. PostgreSQL finds its files relative to
# its programs, so that the copy works where it is and is all its owner's.

set -eu
cd "$(dirname "$0")/../.."

bindir=$("$PG_CONFIG" --bindir)
pkglibdir=$("$PG_CONFIG" --pkglibdir)
sharedir=$("$PG_CONFIG" --sharedir)

# A package that comes or goes changes its directories
stamp=$("$PG_CONFIG" --version; stat -c '%n %Y' "$bindir" "$pkglibdir" "$sharedir" "$sharedir/extension")
if [ "$(cat tmp_install/stamp 2>/dev/null)" = "$stamp" ]; then
	exit 0
fi

rm -rf tmp_install
for directory in "$bindir" "$pkglibdir" "$sharedir"; do
	mkdir -p "tmp_install$directory"
	tar -c -C "$directory" --exclude=./bitcode --exclude=./pgxs --exclude=./man . |
		tar -x --no-same-owner -C "tmp_install$directory"
done
echo "$stamp" >tmp_install/stamp
