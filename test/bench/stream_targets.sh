# stream_targets.sh: what the bench of streams sends events to. Sourced by run.sh after lib.sh.
# shellcheck shell=bash

clickhouse_port=
modern_port=
hanging_port=

# start_clickhouse: Debian's, if it is installed. Sets clickhouse_port.
start_clickhouse()
{
	local directory=$work/clickhouse i

	command -v clickhouse-server >/dev/null || return 0
	clickhouse_port=$(free_port)
	mkdir -p "$directory"
	cat >"$directory/config.xml" <<-XML
		<yandex>
		<logger><level>warning</level><log>$directory/log</log><errorlog>$directory/errors</errorlog></logger>
		<listen_host>127.0.0.1</listen_host>
		<http_port>$clickhouse_port</http_port>
		<path>$directory/data/</path><tmp_path>$directory/tmp/</tmp_path>
		<users_config>users.xml</users_config>
		<default_profile>default</default_profile><default_database>default</default_database>
		<mark_cache_size>268435456</mark_cache_size>
		</yandex>
	XML
	cat >"$directory/users.xml" <<-XML
		<yandex><profiles><default></default></profiles><quotas><default></default></quotas>
		<users><default><password></password><networks><ip>127.0.0.1</ip></networks>
		<profile>default</profile><quota>default</quota></default></users></yandex>
	XML
	timeout 7200 clickhouse-server --config-file="$directory/config.xml" >"$directory/output" 2>&1 &
	target_pids+=($!)
	for ((i = 0; i < 300; i++)); do
		if [ "$(curl -s -m 5 "http://127.0.0.1:$clickhouse_port/" -d 'SELECT 1')" = 1 ]; then
			return
		fi
		sleep 0.1
	done
	die "clickhouse-server did not start: $(tail -n 3 "$directory/output" "$directory/errors" 2>&1)"
}

# start_modern: chdb behind its front, if `make stream-packages` has installed it. Sets modern_port.
start_modern()
{
	local packages=${FI_STREAM_PACKAGES:-$here/../../tmp_stream_packages} i

	[ -d "$packages/node_modules/@chdb/lib-linux-x64-gnu" ] || return 0
	modern_port=$(free_port)
	FI_STREAM_PACKAGES=$(realpath "$packages") \
		timeout 7200 node "$here/../stream/chdb_front.js" "$modern_port" "$work/modern" >"$work/modern_output" 2>&1 &
	target_pids+=($!)
	for ((i = 0; i < 300; i++)); do
		if [ "$(curl -s -m 5 "http://127.0.0.1:$modern_port/" -d 'SELECT 1')" = 1 ]; then
			return
		fi
		sleep 0.1
	done
	die "chdb did not start: $(tail -n 3 "$work/modern_output")"
}

# start_hanging: takes connections, and never answers. Sets hanging_port.
start_hanging()
{
	local i

	timeout 7200 perl -MIO::Socket::INET -e '
		$| = 1;
		my $socket = IO::Socket::INET->new(Listen => 64, LocalAddr => "127.0.0.1") or die;
		my @connections;
		print $socket->sockport, "\n";
		while (my $connection = $socket->accept) { push @connections, $connection }' >"$work/hanging_port" &
	target_pids+=($!)
	for ((i = 0; i < 100; i++)); do
		if [ -s "$work/hanging_port" ]; then
			hanging_port=$(cat "$work/hanging_port")
			return
		fi
		sleep 0.05
	done
	die "the target that hangs did not start"
}

# port_of ENGINE
port_of()
{
	case $1 in
		clickhouse) echo "$clickhouse_port" ;;
		modern) echo "$modern_port" ;;
	esac
}

# engines: those that run
engines()
{
	echo ${clickhouse_port:+clickhouse} ${modern_port:+modern}
}

# ask_target ENGINE QUERY
ask_target()
{
	curl -s -S -f -m 120 "http://127.0.0.1:$(port_of "$1")/" --data-binary "$2" || die "no answer of $1 to: $2"
}

# new_table ENGINE: the table of fi_clickhouse_ddl(), without its view, empty
new_table()
{
	local version=modern

	[ "$1" != clickhouse ] || version=old
	ask_target "$1" 'DROP TABLE IF EXISTS events'
	sql "SELECT split_part(regexp_replace(fi_clickhouse_ddl(version => '$version'), '--[^\n]*', '', 'g'), ';', 1)" >"$work/ddl"
	ask_target "$1" "@$work/ddl"
}
