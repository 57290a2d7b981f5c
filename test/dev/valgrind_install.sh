#!/usr/bin/env bash
#
# valgrind_install.sh BINDIR: make tmp_build/valgrind, which is tmp_install/ with a
# bin/postgres that runs under valgrind. BINDIR is where PostgreSQL has its programs.

set -eu
cd "$(dirname "$0")/../.."

install=tmp_build/valgrind
bin=$install$1

rm -rf "$install"
mkdir -p tmp_build
cp -al tmp_install "$install"

mv "$bin/postgres" "$bin/postgres.real"
cp test/dev/valgrind_postgres.sh "$bin/postgres"
cp test/valgrind.supp "$bin/"
# pg_ctl restart would start what ran before, and that is postgres.real
mv "$bin/pg_ctl" "$bin/pg_ctl.real"
cat >"$bin/pg_ctl" <<'EOF'
#!/bin/sh
exec "$0.real" -p "$(dirname "$0")/postgres" "$@"
EOF
chmod 755 "$bin/pg_ctl"
