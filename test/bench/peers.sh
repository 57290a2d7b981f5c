# peers.sh: the same questions of fast_ingest, of PostgreSQL's raw rows, of DuckDB and of the
# engine of ClickHouse, about the same rows: the part peers. Sourced by run.sh after questions.sh.
#
# DuckDB and ClickHouse (npm's @duckdb/node-api and chdb, as package.json says) run inside a program
# of node, peers.mjs, with a database file each, their default settings, and a thread for each core.
# shellcheck shell=bash

peer_calls=10               # of a question that count
peer_raw_calls=3            # of one that reads raw rows of PostgreSQL
peer_limit=3600             # seconds that an answer may take

# ---------------------------------------------------------------- the programs

# What npm has installed is kept for the next time, in a folder of the tree
install_peers()
{
	local list=$here/package.json engine

	peer_packages=$(realpath -m "$here/../../tmp_bench_packages")
	if cmp -s "$list" "$peer_packages/installed"; then
		return
	fi
	echo "  npm install in ${peer_packages##*/}, 620 MB"
	rm -rf "$peer_packages"
	mkdir "$peer_packages"
	cp "$list" "$peer_packages/"
	(cd "$peer_packages" && npm_config_cache=$work/npm npm install --ignore-scripts --no-package-lock \
		--no-audit --no-fund --no-update-notifier --no-progress --loglevel=error) || die "npm install failed"
	# for npm, an engine that it could not get is optional
	for engine in @chdb/lib @duckdb/node-bindings; do
		compgen -G "$peer_packages/node_modules/$engine-*" >/dev/null || die "npm has no $engine for this machine"
	done
	cp "$list" "$peer_packages/installed"
}

# start_program NAME COMMAND...: with statements from $work/NAME.in, one a line, and answers to
# $work/NAME.out. Sets NAME_in and NAME_out, which are file descriptors.
start_program()
{
	local -n in=$1_in out=$1_out

	mkfifo "$work/$1.in" "$work/$1.out"
	"${@:2}" <"$work/$1.in" >"$work/$1.out" &
	target_pids+=($!)
	exec {in}>"$work/$1.in" {out}<"$work/$1.out"
}

start_programs()
{
	mkdir "$work/peers"
	start_program psql stdbuf -oL "$BINDIR/psql" -X -q -A -t -F ' ' -v ON_ERROR_STOP=1
	printf '\\timing on\n' >&"$psql_in"
	FI_PEER_PACKAGES=$peer_packages start_program node node "$here/peers.mjs" "$work/peers" "$(nproc)"
}

stop_programs()
{
	exec {psql_in}>&- {node_in}>&- {psql_out}<&- {node_out}<&-
	rm -rf "$work"/{psql,node}.{in,out} "$work/peers"
}

# ask_peer postgres|duckdb|clickhouse STATEMENT: sets answer and ms
ask_peer()
{
	local line out statement=${2//$'\n'/ }

	if [ "$1" = postgres ]; then
		echo "$statement;" >&"$psql_in"
		out=$psql_out
	else
		echo "$1 $statement" >&"$node_in"
		out=$node_out
	fi
	answer=
	while true; do
		IFS= read -r -t "$peer_limit" line <&"$out" || die "no answer of $1 to: $statement"
		case $line in
			'Time: '*) break ;;
		esac
		answer+=$line$'\n'
	done
	line=${line#Time: }
	ms=${line%% *}
}

# ---------------------------------------------------------------- the data

# Both read the same file. ClickHouse's table has the order that suits the questions.
load_peers()
{
	local file=$work/events.csv engine bytes
	local columns="event_name VARCHAR, channel VARCHAR, user_id VARCHAR, ts TIMESTAMP, campaign_id VARCHAR,
		site_id VARCHAR, path VARCHAR, tags VARCHAR[], metadata JSON"
	local texts="event_name String, channel String, user_id String, ts DateTime64(6, ''UTC''),
		campaign_id String, site_id String, path String, tags String, metadata String"
	local -A load create

	create[duckdb]="CREATE TABLE events ($columns)"
	load[duckdb]="INSERT INTO events SELECT * REPLACE (tags::JSON::VARCHAR[] AS tags)
		FROM read_csv('$file', header = false, columns = {'event_name': 'VARCHAR', 'channel': 'VARCHAR',
			'user_id': 'VARCHAR', 'ts': 'TIMESTAMP', 'campaign_id': 'VARCHAR', 'site_id': 'VARCHAR',
			'path': 'VARCHAR', 'tags': 'VARCHAR', 'metadata': 'JSON'})"
	create[clickhouse]="CREATE TABLE events (event_name LowCardinality(String), channel LowCardinality(String),
		user_id String, ts DateTime64(6, 'UTC'), campaign_id LowCardinality(String),
		site_id LowCardinality(String), path String, tags Array(String), metadata JSON)
		ENGINE = MergeTree PARTITION BY toYYYYMM(ts) ORDER BY (event_name, ts)"
	load[clickhouse]="INSERT INTO events SELECT * REPLACE (JSONExtract(tags, 'Array(String)') AS tags)
		FROM file('$file', 'CSV', '$texts')"

	SECONDS=0
	sql "COPY (SELECT event_name, channel, user_id, ts AT TIME ZONE 'UTC', campaign_id, site_id, path, to_json(tags),
		metadata FROM fast_ingest.events) TO STDOUT WITH (FORMAT csv)" >"$file"
	printf '  exported in %d s: %d MB of CSV\n' "$SECONDS" $(($(stat -c %s "$file") / 1000000))
	for engine in duckdb clickhouse; do
		SECONDS=0
		ask_peer "$engine" "${create[$engine]}"
		ask_peer "$engine" "${load[$engine]}"
		# with what they do afterwards by themselves
		if [ "$engine" = duckdb ]; then
			ask_peer duckdb CHECKPOINT
		else
			ask_peer clickhouse 'OPTIMIZE TABLE events FINAL'
		fi
		bytes=$(du -sb "$work/peers/$engine"* | awk '{ sum += $1 } END { print sum }')
		ask_peer "$engine" 'SELECT version()'
		printf '  %s %s loaded in %d s: %d MB\n' "$engine" "${answer%$'\n'}" "$SECONDS" $((bytes / 1000000))
		ask_peer "$engine" 'SELECT count(*) FROM events'
		[ "${answer%$'\n'}" = "$1" ] || problem "$engine has $answer rows, not $1"
	done
	rm "$file"
}

# ---------------------------------------------------------------- the questions

# peer_question NAME TITLE SINCE GROUP_BY FILTER: append a question about product_view.
# GROUP_BY is hour, channel or nothing, FILTER a plan or nothing.
peer_question()
{
	local since until key='' grouping='' plan='' filter=''
	local duckdb_key='' clickhouse_key='' duckdb_plan='' clickhouse_plan=''
	local ours_columns='total_events, unique_users'

	since=$(date -u -d "@$3" '+%Y-%m-%d %H:%M:%S')
	until=$(date -u -d "@$midnight" '+%Y-%m-%d %H:%M:%S')
	case $4 in
		hour)
			key="to_char(ts AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:00:00\"Z\"'),"
			duckdb_key="strftime(date_trunc('hour', ts), '%Y-%m-%dT%H:00:00Z'),"
			clickhouse_key="formatDateTime(toStartOfHour(ts), '%Y-%m-%dT%H:00:00Z'),"
			;;
		?*)
			key="$4," duckdb_key="$4," clickhouse_key="$4,"
			;;
	esac
	if [ -n "$4" ]; then
		grouping='GROUP BY 1'
		ours_columns="group_key, $ours_columns"
	fi
	if [ -n "$5" ]; then
		filter=", filter => '{\"metadata\":{\"plan\":\"$5\"}}'"
		plan="AND metadata->>'plan' = '$5'"
		duckdb_plan="AND (metadata->>'\$.plan') = '$5'"
		clickhouse_plan="AND metadata.plan = '$5'"
	fi
	p_name+=("$1")
	p_title+=("$2")
	p_postgres+=("SELECT $ours_columns FROM fi_metrics('product_view', '$since+00', '$until+00'${4:+, '$4'}$filter)
		WHERE total_events > 0")
	p_raw+=("SELECT $key count(*), count(DISTINCT user_id) FROM fast_ingest.events
		WHERE event_name = 'product_view' AND ts >= '$since+00' AND ts < '$until+00' $plan $grouping")
	p_duckdb+=("SELECT $duckdb_key count(*), count(DISTINCT user_id) FROM events
		WHERE event_name = 'product_view' AND ts >= '$since' AND ts < '$until' $duckdb_plan $grouping")
	p_clickhouse+=("SELECT $clickhouse_key count(), uniqExact(user_id) FROM events
		WHERE event_name = 'product_view' AND ts >= '$since' AND ts < '$until' $clickhouse_plan $grouping")
}

make_peer_questions()
{
	local day=86400 start

	start=$((midnight - metrics_days * day))
	p_name=() p_title=() p_postgres=() p_raw=() p_duckdb=() p_clickhouse=()
	peer_question day '1 day' $((midnight - day)) '' ''
	peer_question hours '7 days hourly' $((midnight - 7 * day)) hour ''
	peer_question month '30 days' "$start" '' ''
	peer_question channels '30 days by channel' "$start" channel ''
	peer_question plan_day '1 day of a plan (no breakdown)' $((midnight - day)) '' plan_10
	peer_question plan_month '30 days of a plan (no breakdown)' "$start" '' plan_10
}

# One call of each in turn; the first of each, whose answers are compared, does not count
measure_peers()
{
	local i round who expected statement
	local -A engine=([ours]=postgres [raw]=postgres [duckdb]=duckdb [clickhouse]=clickhouse)

	wait_quiet
	printf '  %-34s %14s %14s %14s %14s\n' '' 'fast_ingest ms' 'raw rows ms' 'DuckDB ms' 'ClickHouse ms'
	for i in "${!p_name[@]}"; do
		local -A statements=([ours]=${p_postgres[i]} [raw]=${p_raw[i]} [duckdb]=${p_duckdb[i]} [clickhouse]=${p_clickhouse[i]})
		expected=
		for ((round = 0; round <= peer_calls; round++)); do
			for who in raw ours duckdb clickhouse; do
				if [ "$who" = raw ] && [ "$round" -gt "$peer_raw_calls" ]; then
					continue
				fi
				ask_peer "${engine[$who]}" "${statements[$who]}"
				if [ "$round" -gt 0 ]; then
					record "peer_${who}_${p_name[i]}" "$ms"
					continue
				fi
				answer=$(sort <<<"$answer")
				[ "$who" != raw ] || expected=$answer
				if [ "$answer" != "$expected" ] || [ -z "$answer" ]; then
					problem "$who and raw rows differ in ${p_title[i]}: $(diff <(echo "$answer") <(echo "$expected") | head -n 6)"
				fi
			done
		done
		printf '  %-34s' "${p_title[i]}"
		for who in ours raw duckdb clickhouse; do
			printf ' %14.2f' "$(median "peer_${who}_${p_name[i]}")"
		done
		echo
	done
}

bench_peers()
{
	local program

	echo
	echo "peers: $METRICS_EVENTS events over $metrics_days days, 10 names, 5 channels, $question_sites sites, $metrics_users users; one name; medians of $peer_calls warm calls ($peer_raw_calls of raw rows), in turn, $(nproc) threads"
	for program in node npm; do
		command -v "$program" >/dev/null || die "$program is missing"
	done
	install_peers
	set_deduplicate content
	load_days "$METRICS_EVENTS" -k "$question_sites"
	start_programs
	load_peers "$((METRICS_EVENTS / 1000 * 1000))"
	make_peer_questions
	measure_peers
	stop_programs
}

peers_figures()
{
	local i

	wanted peers || return 0
	for i in "${!p_name[@]}"; do
		figure "peers, ${p_title[i]}, ms" "peer_ours_${p_name[i]}" 2
		figure '... raw rows, ms' "peer_raw_${p_name[i]}" 1
		figure '... DuckDB, ms' "peer_duckdb_${p_name[i]}" 1
		figure '... ClickHouse, ms' "peer_clickhouse_${p_name[i]}" 1
	done
}
