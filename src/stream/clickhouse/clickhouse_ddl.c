/*
 * clickhouse_ddl.c
 *
 * fi_clickhouse_ddl(): the tables that a stream fills, as statements of ClickHouse for a
 * person to read, change and run. They end with a semicolon each; '--' begins a comment.
 *
 * The key ends in (_source, _lsn, _n), which no two events share: a merge removes a row that came
 * twice, and nothing else. The view adds up hours as events arrive. Its counts are right for
 * events that come once; its users are, even for those that come twice.
 */
#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"

#include "stream/clickhouse/clickhouse_private.h"

PG_FUNCTION_INFO_V1(fi_clickhouse_ddl);

/* Batches that deduplication remembers: a table's entries are one for each batch and partition. */
#define WINDOW 10000
#define WINDOW_SECONDS (7 * 24 * 60 * 60)

typedef struct
{
	char *database; /* with the point behind it, quoted; or "" */
	char *name;		/* as given, without the database */
	char *target;	/* that a stream is to have */
	const char *on_cluster;
	char *cluster; /* quoted; NULL: one node */
	bool old;	   /* 18.16 */
} Names;

static bool
is_plain_name(const char *name)
{
	if (*name >= '0' && *name <= '9')
		return false;
	return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") ==
		   strlen(name);
}

/*
 * Quote a name for ClickHouse, if it needs it
 */
static char *
quote_name(const char *name)
{
	return is_plain_name(name) ? pstrdup(name) : ClickHouseQuote('`', name);
}

/*
 * A name of the table's database: the table's own with something behind it
 */
static char *
make_name(const Names *names, const char *suffix)
{
	return psprintf("%s%s", names->database, quote_name(psprintf("%s%s", names->name, suffix)));
}

static void
refuse(const char *field, const char *value, const char *hint)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("invalid %s: \"%s\"", field, value), errhint("%s", hint)));
}

static void
check_name(const char *field, const char *name)
{
	bool good = *name != '\0';

	for (const char *p = name; *p != '\0'; p++)
		good &= (unsigned char) *p >= ' ';
	if (!good)
		refuse(field, name, "Give a name that is not empty and has no control characters.");
}

static void
read_names(Names *names, const char *table_name, const char *cluster, const char *version)
{
	const char *point = strchr(table_name, '.');

	names->old = strcmp(version, "old") == 0;
	if (!names->old && strcmp(version, "modern") != 0)
		refuse("version", version,
			   "Give \"modern\" for ClickHouse 23.3 and later, or \"old\" for 18.16.");
	names->database = "";
	names->name = pstrdup(point != NULL ? point + 1 : table_name);
	check_name("table_name", names->name);
	if (point != NULL)
	{
		char *database = pnstrdup(table_name, point - table_name);

		check_name("table_name", database);
		names->database = psprintf("%s.", quote_name(database));
	}
	names->target = psprintf("%s%s", table_name, cluster != NULL ? "_local" : "");
	names->cluster = NULL;
	names->on_cluster = "";
	if (cluster != NULL)
	{
		if (names->old)
			refuse("version", version,
				   "Tables of a cluster are printed for version \"modern\" only.");
		check_name("cluster", cluster);
		names->cluster = quote_name(cluster);
		names->on_cluster = psprintf(" ON CLUSTER %s", names->cluster);
	}
}

/*
 * The engine of a table, such as ReplacingMergeTree
 */
static char *
make_engine(const Names *names, const char *kind)
{
	if (names->cluster == NULL)
		return pstrdup(kind);
	return psprintf("Replicated%s('/clickhouse/tables/{shard}/{database}/{table}', '{replica}')",
					kind);
}

static void
append_settings(StringInfo out, const Names *names)
{
	if (!names->old && names->cluster == NULL)
		appendStringInfo(out, "\nSETTINGS non_replicated_deduplication_window = %d", WINDOW);
	else if (!names->old)
		appendStringInfo(out,
						 "\nSETTINGS replicated_deduplication_window = %d, "
						 "replicated_deduplication_window_seconds = %d",
						 WINDOW, WINDOW_SECONDS);
	appendStringInfoString(out, ";\n\n");
}

static void
append_table(StringInfo out, const Names *names, const char *table)
{
	bool old = names->old;
	const char *few = old ? "String" : "LowCardinality(String)";
	const char *few_or_null = old ? "Nullable(String)" : "LowCardinality(Nullable(String))";

	appendStringInfo(out, "CREATE TABLE %s%s\n(\n", table, names->on_cluster);
	appendStringInfo(out, "    event_name %s,\n    channel %s,\n    user_id Nullable(String),\n",
					 few, few);
	if (old)
		appendStringInfoString(out,
							   "    ts_us Int64,\n"
							   "    ts DateTime DEFAULT toDateTime(intDiv(ts_us, 1000000)),\n");
	else
		appendStringInfoString(out, "    ts DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),\n");
	appendStringInfo(out, "    campaign_id %s,\n    site_id %s,\n", few_or_null, few_or_null);
	appendStringInfo(out,
					 "    path Nullable(String),\n    tags Array(Nullable(String)),\n"
					 "    metadata Nullable(String)%s,\n    event_key Nullable(UUID),\n",
					 old ? "" : " CODEC(ZSTD(1))");
	appendStringInfoString(out,
						   old ? "    ingested_at_us Int64,\n"
							   : "    ingested_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),\n");
	appendStringInfo(
		out, "    _source %s,\n    _lsn UInt64,\n    _n UInt64,\n    _batch UInt64\n)\n", few);
	appendStringInfo(out, "ENGINE = %s\n", make_engine(names, "ReplacingMergeTree"));
	appendStringInfo(out,
					 "PARTITION BY toYYYYMM(ts)\nPRIMARY KEY (event_name, toStartOfHour(ts))\n"
					 "ORDER BY (event_name, toStartOfHour(ts), %s, _source, _lsn, _n)",
					 old ? "ts_us" : "ts");
	append_settings(out, names);
}

static void
append_view(StringInfo out, const Names *names, const char *table)
{
	char *hours = make_name(names, names->cluster != NULL ? "_by_hour_local" : "_by_hour");
	const char *few = names->old ? "String" : "LowCardinality(String)";

	appendStringInfo(
		out,
		"-- Events and users by hour:\n--   SELECT event_name, hour, countMerge(events), "
		"uniqExactMerge(users) FROM %s GROUP BY event_name, hour\n"
		"-- Events that are deleted from %s, as fi_resend_stream() does before it sends them "
		"again, stay in it.\n",
		make_name(names, "_by_hour"), table);
	appendStringInfo(
		out,
		"CREATE TABLE %s%s\n(\n    event_name %s,\n    channel %s,\n    hour %s,\n"
		"    events AggregateFunction(count),\n"
		"    users AggregateFunction(uniqExact, %s)\n)\n"
		"ENGINE = %s\nPARTITION BY toYYYYMM(hour)\nORDER BY (event_name, channel, hour)",
		hours, names->on_cluster, few, few, names->old ? "DateTime" : "DateTime('UTC')",
		/* 18.16 names the state so, and leaves NULL out all the same */
		names->old ? "String" : "Nullable(String)", make_engine(names, "AggregatingMergeTree"));
	append_settings(out, names);
	appendStringInfo(
		out,
		"CREATE MATERIALIZED VIEW %s%s TO %s AS\n"
		"SELECT event_name, channel, toStartOfHour(ts) AS hour, countState() AS events, "
		"uniqExactState(user_id) AS users\n"
		"FROM %s\nGROUP BY event_name, channel, hour;\n",
		make_name(names, "_by_hour_view"), names->on_cluster, hours, table);
}

/*
 * The tables that a question to all shards goes to
 */
static void
append_distributed(StringInfo out, const Names *names)
{
	static const char *const suffixes[] = {"", "_by_hour"};

	for (size_t i = 0; i < lengthof(suffixes); i++)
	{
		char *local = make_name(names, psprintf("%s_local", suffixes[i]));
		const char *database = names->database[0] == '\0'
								   ? "currentDatabase()"
								   : pnstrdup(names->database, strlen(names->database) - 1);

		appendStringInfo(out, "\nCREATE TABLE %s%s AS %s\nENGINE = Distributed(%s, %s, %s);\n",
						 make_name(names, suffixes[i]), names->on_cluster, local, names->cluster,
						 database, quote_name(psprintf("%s%s_local", names->name, suffixes[i])));
	}
}

Datum
fi_clickhouse_ddl(PG_FUNCTION_ARGS)
{
	StringInfoData out;
	Names names;
	char *table;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(2))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("%s must not be NULL", PG_ARGISNULL(0) ? "table_name" : "version")));
	read_names(&names, text_to_cstring(PG_GETARG_TEXT_PP(0)),
			   PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1)),
			   text_to_cstring(PG_GETARG_TEXT_PP(2)));
	table = make_name(&names, names.cluster != NULL ? "_local" : "");

	initStringInfo(&out);
	if (names.old)
		appendStringInfoString(
			&out,
			"-- For ClickHouse 18.16, which has no DateTime64: ts_us and ingested_at_us are "
			"microseconds since 1970\n-- in UTC, ts is ts_us in seconds. Events outside of the "
			"years 1971 to 2104 become dead letters.\n-- There are no deduplication tokens: "
			"after a doubt, the stream counts by _batch.\n");
	if (names.cluster != NULL)
		appendStringInfo(
			&out,
			"-- A stream fills the local table: target => '%s'. Its url must always lead to "
			"replicas of\n-- the same shard, as each shard remembers only its own batches; give "
			"each fast_ingest server\n-- one shard. Questions go to %s.\n",
			names.target, make_name(&names, ""));
	append_table(&out, &names, table);
	append_view(&out, &names, table);
	if (names.cluster != NULL)
		append_distributed(&out, &names);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(out.data, out.len));
}
