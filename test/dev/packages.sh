#!/usr/bin/env bash
#
# packages.sh [test|test-valgrind|docker|deb]: install the Debian packages that `make run`
# needs, or `make test` and `make bench`, `make test-valgrind`, `make test-docker`, `make deb`,
# where they are missing. Without the right to do so it names them and fails. Clusters of the
# system are not touched, and none is made.

set -eu

packages=(build-essential gzip curl esbuild jq openssl libmicrohttpd-dev libcurl4-openssl-dev libgnutls28-dev libroaring-dev zlib1g-dev libzstd-dev)
packaging=(debhelper dpkg-dev fakeroot)
testing=(perl libipc-run-perl libio-socket-ssl-perl libjson-validator-perl libssl-dev clang libclang-rt-dev clang-format wrk pkg-config prometheus zstd git unzip
	clickhouse-server clickhouse-client chromium fonts-liberation)
# node and npm of another origin are one package, which Debian's would remove
command -v node >/dev/null && command -v npm >/dev/null || testing+=(nodejs npm)
case ${1:-run} in
	test) packages+=("${testing[@]}" "${packaging[@]}") ;;
	test-valgrind) packages+=("${testing[@]}" "${packaging[@]}" valgrind) ;;
	deb) packages+=("${packaging[@]}") ;;
	docker) packages=(buildah curl debootstrap iproute2 jq openssl procps python3-yaml shellcheck) ;;
esac

if ! command -v apt-get >/dev/null; then
	echo "packages.sh: this is no Debian: it is up to you to have what is in ${packages[*]}, PostgreSQL and pg_cron" >&2
	exit 0
fi

as_root=()
if [ "$(id -u)" != 0 ]; then
	as_root=(sudo -n)
fi

can_install()
{
	[ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null
}

update()
{
	echo "packages.sh: apt-get update"
	"${as_root[@]}" apt-get update -qq
}

# The major version of PG_CONFIG, else the distribution's
major_version()
{
	local pgxs

	if pgxs=$("${PG_CONFIG:-pg_config}" --pgxs 2>/dev/null) && [ -f "$pgxs" ]; then
		"${PG_CONFIG:-pg_config}" --version | sed -E 's/^PostgreSQL ([0-9]+).*/\1/'
	else
		apt-cache depends postgresql | sed -n 's/^ *Depends: postgresql-\([0-9]*\)$/\1/p'
	fi
}

missing()
{
	local package

	for package in "$@"; do
		[ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
	done
}

# PostgreSQL and pg_cron. One that is not Debian's needs no packages of Debian's.
add_server()
{
	local version bindir

	version=$(major_version)
	if [ -z "$version" ] && can_install; then
		update
		updated=yes
		version=$(major_version)
	fi
	if [ -z "$version" ]; then
		echo "packages.sh: found neither pg_config nor Debian's package postgresql" >&2
		exit 1
	fi
	bindir=$("${PG_CONFIG:-pg_config}" --bindir 2>/dev/null || true)
	case ${bindir:-/usr/lib/postgresql/} in
		/usr/lib/postgresql/*)
			packages+=("postgresql-$version" "postgresql-server-dev-$version" "postgresql-$version-cron")
			;;
	esac
}

# The image brings its own
[ "${1:-run}" = docker ] || add_server

mapfile -t wanted < <(missing "${packages[@]}")
if [ "${#wanted[@]}" = 0 ]; then
	exit 0
fi
if ! can_install; then
	echo "packages.sh: these packages are missing: as root, apt-get install ${wanted[*]}" >&2
	exit 1
fi

# Debian's PostgreSQL makes and starts a cluster when it is installed
no_cluster=/etc/postgresql-common/createcluster.d/fast_ingest.conf
made=("$no_cluster")
trap '"${as_root[@]}" rm -f "${made[@]}"' EXIT
"${as_root[@]}" mkdir -p "${no_cluster%/*}"
echo 'create_main_cluster = false' | "${as_root[@]}" tee "$no_cluster" >/dev/null

# and its Prometheus and ClickHouse services, which the tests have no use for
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	made+=("$policy")
	printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
	"${as_root[@]}" chmod 755 "$policy"
fi

if [ -z "${updated:-}" ]; then
	update
fi
echo "packages.sh: installing ${wanted[*]}"
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
	apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 "${wanted[@]}" </dev/null >/dev/null

if command -v systemctl >/dev/null; then
	for service in prometheus clickhouse-server; do
		[[ " ${wanted[*]} " != *" $service "* ]] || "${as_root[@]}" systemctl -q disable "$service"
	done
fi
