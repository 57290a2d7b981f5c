#!/usr/bin/env bash
#
# compose.sh build|up|down|logs: what `make docker-...` does. docker compose reads
# COMPOSE_PROFILES (monitoring adds Prometheus and Grafana, clickhouse a ClickHouse),
# compose.yml FI_PORT, other ports and FI_WAL_LEVEL from the environment.

set -euo pipefail
cd "$(dirname "$0")"

die()
{
	printf 'docker/compose.sh: %s\n' "$@" >&2
	exit 1
}

# The password is made up once. It goes nowhere but to that file.
make_settings()
{
	local password

	password=$(od -An -N 16 -t x1 /dev/urandom | tr -d ' \n')
	(umask 077 && sed "s/^POSTGRES_PASSWORD=$/&$password/" settings.env.example >settings.env.new)
	mv settings.env.new settings.env
	echo "made docker/settings.env, with a password for PostgreSQL in it"
}

# The role of Grafana's data source: it may ask for metrics, and do nothing else
make_grafana_role()
{
	docker compose exec -T fast_ingest psql -X -q -v ON_ERROR_STOP=1 -d events \
		-v password="${GRAFANA_DB_PASSWORD:-grafana}" >/dev/null <<'END' || die "the role grafana could not be made"
SELECT 'CREATE ROLE grafana LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'grafana') \gexec
ALTER ROLE grafana PASSWORD :'password';
SELECT fi_grant_metrics('grafana');
END
}

command -v docker >/dev/null || die "docker is not installed: see https://docs.docker.com/engine/install/"
docker info >/dev/null 2>&1 ||
	die "no Docker engine answers: is it running, and may you use it? docker info says:" "$(docker info 2>&1 | tail -n 1)"
docker compose version >/dev/null 2>&1 ||
	die "docker has no plugin compose: install docker-compose-plugin"
case ${1:-} in
	down | logs) [ -e settings.env ] || die "nothing was started: make docker-up" ;;
esac

case ${1:-} in
	build)
		docker build --file Dockerfile --tag fast_ingest ..
		;;
	up)
		[ -e settings.env ] || make_settings
		docker compose up --detach --build --wait || {
			docker compose logs --tail 20 fast_ingest >&2
			die "it did not become ready"
		}
		case ,${COMPOSE_PROFILES:-}, in
			*,monitoring,*) make_grafana_role ;;
		esac
		port=${FI_PORT:-8080}
		cat <<END
fast_ingest is ready at http://127.0.0.1:$port

  curl -i http://127.0.0.1:$port/events -H 'Content-Type: application/json' \\
    -d '{"event_name":"product_view","channel":"web","user_id":"user_123","timestamp":$(date +%s)}'

  docker compose -f docker/compose.yml exec fast_ingest psql -d events

make docker-logs shows the log, make docker-down stops it: its data stays in the volume fast_ingest_data.
END
		;;
	down)
		docker compose --profile monitoring --profile clickhouse down
		;;
	logs)
		if [ -t 1 ]; then
			exec docker compose --profile monitoring --profile clickhouse logs --follow --tail 100
		fi
		docker compose --profile monitoring --profile clickhouse logs --tail 100
		;;
	*)
		die "build, up, down or logs?"
		;;
esac
