/*
 * clickhouse_probe.c
 *
 * What the target is: its version, the settings that it knows, the engine and the columns of
 * the table, and how many batches deduplication remembers. Asked by one query, and never
 * assumed. Whatever is wrong may be put right in the target, so it is asked again and again.
 */
#include "postgres.h"

#include "stream/clickhouse/clickhouse_private.h"

#define TIME_TYPE "DateTime64(6, 'UTC')"

const ClickHouseSettingValue ClickHouseSettings[NUM_CLICKHOUSE_SETTINGS] = {
	/* on by default since 26.2: the server would put batches together */
	[SETTING_ASYNC_INSERT] = {"async_insert", "0"},
	/* it cuts a body into blocks, each of which is written by itself */
	[SETTING_PARALLEL_PARSING] = {"input_format_parallel_parsing", "0"},
	/* what might change or drop values in silence */
	[SETTING_NULL_AS_DEFAULT] = {"input_format_null_as_default", "0"},
	[SETTING_SKIP_UNKNOWN] = {"input_format_skip_unknown_fields", "0"},
	[SETTING_ERRORS_NUM] = {"input_format_allow_errors_num", "0"},
	[SETTING_ERRORS_RATIO] = {"input_format_allow_errors_ratio", "0"},
	/* a backfill has rows of many months */
	[SETTING_MAX_PARTITIONS] = {"max_partitions_per_insert_block", "0"},
	[SETTING_THROW_ON_MAX_PARTITIONS] = {"throw_on_max_partitions_per_insert_block", "0"},
	[SETTING_MAX_BLOCK_BYTES] = {"max_insert_block_size_bytes", "0"},
	[SETTING_DEDUPLICATE_VIEWS] = {"deduplicate_blocks_in_dependent_materialized_views", "1"},
	[SETTING_INSERT_DEDUPLICATE] = {"insert_deduplicate", NULL},
	[SETTING_DEDUPLICATE_INSERT] = {"deduplicate_insert", NULL},
	[SETTING_TOKEN] = {"insert_deduplication_token", NULL},
	[SETTING_MUTATIONS_SYNC] = {"mutations_sync", NULL}};

/* Engines that keep each row as it was inserted, and those that may drop one of two. */
static const char *const engines[] = {"MergeTree", "ReplicatedMergeTree", "SharedMergeTree"};
static const char *const replacing_engines[] = {
	"ReplacingMergeTree", "ReplicatedReplacingMergeTree", "SharedReplacingMergeTree"};

/* A column of the table, in the scratch memory. */
typedef struct
{
	char *name;
	char *type;
	char *default_kind;
} Column;

/* What the query gave. */
typedef struct
{
	char *version;
	char *timezone;
	char *engine;
	char *engine_full;
	char *sorting_key;
	int64 window;			 /* non_replicated_deduplication_window of the server */
	int64 replicated_window; /* and replicated_deduplication_window */
	uint32 settings;
	Column *columns;
	int ncolumns;
} Findings;

static char *
make_query(const ClickHouse *sink)
{
	StringInfoData query;

	initStringInfo(&query);
	appendStringInfoString(
		&query, "SELECT 'server' AS kind, version() AS a, timezone() AS b, '' AS c UNION ALL "
				"SELECT 'setting', name, '', '' FROM system.settings WHERE name IN (");
	for (int i = 0; i < NUM_CLICKHOUSE_SETTINGS; i++)
		appendStringInfo(&query, "%s'%s'", i > 0 ? ", " : "", ClickHouseSettings[i].name);
	appendStringInfo(&query,
					 ") UNION ALL SELECT 'window', name, value, '' FROM system.merge_tree_settings "
					 "WHERE name IN ('non_replicated_deduplication_window', "
					 "'replicated_deduplication_window') UNION ALL "
					 "SELECT 'table', engine, engine_full, sorting_key FROM system.tables "
					 "WHERE %s UNION ALL "
					 "SELECT 'column', name, type, default_kind FROM system.columns "
					 "WHERE %s FORMAT TabSeparated",
					 ClickHouseTableCondition(sink, "name"),
					 ClickHouseTableCondition(sink, "table"));
	return query.data;
}

static char *
copy_slice(Slice text)
{
	return pnstrdup(text.data, text.len);
}

static void
read_line(const ClickHouseLine *line, Findings *findings)
{
	Slice kind = line->fields[0];
	char *a = copy_slice(line->fields[1]);
	char *b = copy_slice(line->fields[2]);
	char *c = copy_slice(line->fields[3]);

	if (IsText(kind.data, kind.len, "server"))
	{
		findings->version = a;
		findings->timezone = b;
	}
	else if (IsText(kind.data, kind.len, "setting"))
	{
		for (int i = 0; i < NUM_CLICKHOUSE_SETTINGS; i++)
			if (strcmp(a, ClickHouseSettings[i].name) == 0)
				findings->settings |= 1u << i;
	}
	else if (IsText(kind.data, kind.len, "window"))
	{
		if (strncmp(a, "non_", 4) == 0)
			findings->window = atoll(b);
		else
			findings->replicated_window = atoll(b);
	}
	else if (IsText(kind.data, kind.len, "table"))
	{
		findings->engine = a;
		findings->engine_full = b;
		findings->sorting_key = c;
	}
	else if (IsText(kind.data, kind.len, "column"))
		findings->columns[findings->ncolumns++] = (Column){a, b, c};
}

/*
 * Read the answer. False if it is not one to our query.
 */
static bool
read_findings(StringInfo body, Findings *findings)
{
	ClickHouseLine line;
	size_t position = 0;

	memset(findings, 0, sizeof(*findings));
	/* a line of a column has at least eight bytes */
	findings->columns = palloc(sizeof(Column) * (body->len / 8 + 1));
	while (ClickHouseLineRead(body->data, body->len, &position, &line))
	{
		if (line.nfields != 4)
			return false;
		read_line(&line, findings);
	}
	return position == (size_t) body->len && findings->version != NULL;
}

/* --- columns ------------------------------------------------------------ */

static const Column *
find_column(const Findings *findings, const char *name)
{
	for (int i = 0; i < findings->ncolumns; i++)
		if (strcmp(findings->columns[i].name, name) == 0)
			return &findings->columns[i];
	return NULL;
}

/*
 * The type in a wrapper such as "Nullable(...)"; NULL if it has another one
 */
static char *
unwrap(const char *type, const char *wrapper)
{
	size_t len = strlen(wrapper);
	size_t type_len = strlen(type);

	if (strncmp(type, wrapper, len) != 0 || type[len] != '(' || type[type_len - 1] != ')')
		return NULL;
	return pnstrdup(type + len + 1, type_len - len - 2);
}

/*
 * Is a type the wanted one, maybe with LowCardinality, and with Nullable if NULL must fit?
 */
static bool
is_type(const char *type, const char *wanted, bool need_null)
{
	const char *inner = unwrap(type, "LowCardinality");

	if (inner != NULL)
		type = inner;
	inner = unwrap(type, "Nullable");
	if (inner != NULL)
		type = inner;
	return strcmp(type, wanted) == 0 && (inner != NULL || !need_null);
}

/*
 * Is a type a time in UTC with microseconds?
 */
static bool
is_time(const char *type, const char *timezone)
{
	static const char *const names[] = {"UTC", "Etc/UTC", "Etc/UCT", "UCT", "GMT", "Etc/GMT"};
	const char *inner = unwrap(type, "Nullable");

	if (inner != NULL)
		type = inner;
	for (size_t i = 0; i < lengthof(names); i++)
	{
		if (strcmp(type, psprintf("DateTime64(6, '%s')", names[i])) == 0)
			return true;
		if (strcmp(type, "DateTime64(6)") == 0 && strcmp(timezone, names[i]) == 0)
			return true;
	}
	return false;
}

static bool
is_tags(const char *type, bool *null_tags)
{
	const char *inner = unwrap(type, "Array");

	if (inner == NULL || !is_type(inner, "String", false))
		return false;
	*null_tags = is_type(inner, "String", true);
	return true;
}

/*
 * Check a column. False: *result says what is wrong with it.
 */
static bool
check_column(const ClickHouse *sink, const Findings *findings, const char *name, const char *wanted,
			 SinkResult *result)
{
	const Column *column = find_column(findings, name);
	const char *nullable = unwrap(wanted, "Nullable");
	bool fits;

	if (column == NULL)
	{
		ClickHouseResult(result, SINK_AGAIN,
						 "table %s has no column %s: add it with type %s, or make the stream "
						 "without it",
						 sink->quoted, name, wanted);
		return false;
	}
	if (column->default_kind[0] != '\0' && strcmp(column->default_kind, "DEFAULT") != 0)
	{
		ClickHouseResult(result, SINK_AGAIN, "table %s: column %s is %s, and takes no values",
						 sink->quoted, name, column->default_kind);
		return false;
	}
	if (strcmp(wanted, TIME_TYPE) == 0)
		fits = is_time(column->type, findings->timezone);
	else if (strncmp(wanted, "Array", 5) == 0)
	{
		bool null_tags;

		fits = is_tags(column->type, &null_tags);
	}
	else
		fits = is_type(column->type, nullable != NULL ? nullable : wanted, nullable != NULL);
	if (!fits)
		ClickHouseResult(result, SINK_AGAIN, "table %s: column %s has type %s, and must have %s",
						 sink->quoted, name, column->type, wanted);
	return fits;
}

static bool
check_columns(const ClickHouse *sink, const Findings *findings, const ClickHouseShape *shape,
			  SinkResult *result)
{
	static const char *const types[NUM_STREAM_COLUMNS] = {[COLUMN_EVENT_NAME] = "String",
														  [COLUMN_CHANNEL] = "String",
														  [COLUMN_USER_ID] = "Nullable(String)",
														  [COLUMN_TS] = TIME_TYPE,
														  [COLUMN_CAMPAIGN_ID] = "Nullable(String)",
														  [COLUMN_SITE_ID] = "Nullable(String)",
														  [COLUMN_PATH] = "Nullable(String)",
														  [COLUMN_TAGS] = "Array(Nullable(String))",
														  [COLUMN_METADATA] = "Nullable(String)",
														  [COLUMN_EVENT_KEY] = "Nullable(UUID)",
														  [COLUMN_INGESTED_AT] = TIME_TYPE};
	static const char *const positions[] = {"_lsn", "_n", "_batch"};

	for (int i = 0; i < NUM_STREAM_COLUMNS; i++)
	{
		bool is_time = i == COLUMN_TS || i == COLUMN_INGESTED_AT;
		const char *name = StreamColumnNames[i];
		const char *type = types[i];

		if (!StreamCarries(sink->base.stream, i))
			continue;
		if (is_time && shape->microseconds)
		{
			name = psprintf("%s_us", name);
			type = "Int64";
		}
		if (!check_column(sink, findings, name, type, result))
			return false;
	}
	for (size_t i = 0; i < lengthof(positions); i++)
		if (!check_column(sink, findings, positions[i], "UInt64", result))
			return false;
	return check_column(sink, findings, "_source", "String", result);
}

static void
find_shape(const Findings *findings, ClickHouseShape *shape)
{
	const Column *tags = find_column(findings, "tags");
	const Column *ts = find_column(findings, "ts");

	shape->microseconds = find_column(findings, "ts_us") != NULL &&
						  (ts == NULL || !is_time(ts->type, findings->timezone));
	shape->null_tags = true;
	if (tags != NULL)
		(void) is_tags(tags->type, &shape->null_tags);
}

/* --- the table ---------------------------------------------------------- */

static bool
is_one_of(const char *name, const char *const *names, int n)
{
	for (int i = 0; i < n; i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return false;
}

/*
 * Is a column in a sorting key such as "event_name, toStartOfHour(ts), _lsn, _n"?
 */
static bool
is_in_key(const char *sorting_key, const char *name)
{
	size_t len = strlen(name);

	for (const char *found = sorting_key; (found = strstr(found, name)) != NULL; found += len)
		if ((found == sorting_key || strchr(" (,", found[-1]) != NULL) &&
			(found[len] == '\0' || strchr(" ),", found[len]) != NULL))
			return true;
	return false;
}

static bool
check_table(const ClickHouse *sink, const Findings *findings, ClickHouseTarget *target,
			SinkResult *result)
{
	if (findings->engine == NULL)
	{
		ClickHouseResult(result, SINK_AGAIN,
						 "table %s does not exist, or the user has no right to see it: "
						 "SELECT fi_clickhouse_ddl() prints it",
						 sink->quoted);
		return false;
	}
	target->replicated = strncmp(findings->engine, "Replicated", 10) == 0 ||
						 strncmp(findings->engine, "Shared", 6) == 0;
	target->replacing = is_one_of(findings->engine, replacing_engines, lengthof(replacing_engines));
	if (!target->replacing && !is_one_of(findings->engine, engines, lengthof(engines)))
	{
		ClickHouseResult(result, SINK_AGAIN,
						 "table %s has engine %s, and must have MergeTree or ReplacingMergeTree, "
						 "or their Replicated ones: %s",
						 sink->quoted, findings->engine,
						 strcmp(findings->engine, "Distributed") == 0
							 ? "give the local table behind it"
							 : "SELECT fi_clickhouse_ddl() prints one");
		return false;
	}
	if (target->replacing &&
		!(is_in_key(findings->sorting_key, "_source") && is_in_key(findings->sorting_key, "_lsn") &&
		  is_in_key(findings->sorting_key, "_n")))
	{
		ClickHouseResult(result, SINK_AGAIN,
						 "table %s is ReplacingMergeTree, and its ORDER BY lacks _source, _lsn or "
						 "_n: it would drop events that are not the same",
						 sink->quoted);
		return false;
	}
	return true;
}

/*
 * The window of the table: that of its settings, or of the server's
 */
static int64
find_window(const Findings *findings, bool replicated)
{
	const char *name = replicated ? " replicated_deduplication_window = "
								  : " non_replicated_deduplication_window = ";
	const char *found = strstr(findings->engine_full, name);

	if (found != NULL)
		return atoll(found + strlen(name));
	return replicated ? findings->replicated_window : findings->window;
}

static void
set_target(ClickHouse *sink, const ClickHouseTarget *target)
{
	sink->target = *target;
	if (memcmp(&sink->shape, &target->shape, sizeof(ClickHouseShape)) != 0)
	{
		sink->reshaped |= sink->encoded;
		sink->shape = target->shape;
	}
	if (target->window > 0)
		snprintf(sink->guarantee, sizeof(sink->guarantee),
				 "exactly once (deduplication window of " INT64_FORMAT ")", target->window);
	else
		strlcpy(sink->guarantee, "exactly once (counted after a doubt)", sizeof(sink->guarantee));
	sink->base.guarantee = sink->guarantee;
}

bool
ClickHouseLook(ClickHouse *sink, SinkResult *result)
{
	MemoryContext caller = MemoryContextSwitchTo(sink->scratch);
	ClickHouseTarget target;
	Findings findings;
	StringInfoData body;
	bool fit = false;

	memset(&target, 0, sizeof(target));
	sink->target.version = 0;
	if (!ClickHouseAsk(sink, make_query(sink), NULL, &body, result))
	{
		if (result->outcome == SINK_IN_DOUBT)
			result->outcome = SINK_AGAIN;
	}
	else if (!read_findings(&body, &findings))
		ClickHouseResult(result, SINK_AGAIN, "this is not an answer of ClickHouse");
	else
	{
		find_shape(&findings, &target.shape);
		target.version = ClickHouseVersion((Slice){findings.version, strlen(findings.version)});
		target.gzip_only = target.version < 2101;
		target.settings = findings.settings;
		fit = check_table(sink, &findings, &target, result) &&
			  check_columns(sink, &findings, &target.shape, result);
		if (fit && target.version == 0)
		{
			ClickHouseResult(result, SINK_AGAIN, "ClickHouse has an unknown version");
			fit = false;
		}
		if (fit && target.version >= CLICKHOUSE_CHECKS_BODY &&
			(target.settings & (1u << SETTING_TOKEN)) != 0)
			target.window = find_window(&findings, target.replicated);
		if (fit)
			set_target(sink, &target);
	}
	MemoryContextSwitchTo(caller);
	return fit;
}

void
ClickHouseProbe(Sink *base, SinkResult *result)
{
	ClickHouse *sink = (ClickHouse *) base;

	ClickHouseBegin(sink, result);
	if (ClickHouseLook(sink, result))
		result->outcome = SINK_DONE;
}
