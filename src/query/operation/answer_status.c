/*
 * answer_status.c
 *
 * GET /status: what an operator looks at, in one answer. What SQL shows is asked for by SQL, as
 * the owner of the extension, because the role of the workers may see little. Whoever asks has a
 * key with the scope admin.
 *
 * Each statement is a part. If it fails, or a lock keeps it waiting, its error is in its place and
 * the others are answered: this is asked for when something is wrong.
 */
#include "postgres.h"

#include "query/operation/operation.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "db/act_as_owner.h"
#include "db/error_class.h"
#include "db/extension_version.h"
#include "db/set_option.h"
#include "db/spi.h"
#include "db/transaction.h"
#include "query/answers/write_json.h"
#include "query/operation/function_schema.h"
#include "query/operation/status_server.h"
#include "query/parameters/parameter_table.h"

#define LOCK_WAIT "1s"

/* Bytes of an event that are shown */
#define SHOWN_EVENT "1000"

/* In the statements, %1$s is the schema of fi_*. Times are Unix seconds. */

#define SELECT_WORKERS \
	"SELECT json_agg(json_build_object('worker', worker, 'pid', pid, 'state', state," \
	"  'since', trim_scale(extract(epoch FROM since)), 'last_error', last_error))" \
	" FROM %1$s.fi_status()"

#define SELECT_EVENTS \
	"SELECT json_build_object('received', sum(received), 'accepted', sum(accepted)," \
	"  'rejected', sum(rejected), 'committed', sum(committed), 'duplicate', sum(duplicate)," \
	"  'discarded', sum(discarded), 'dead_lettered', sum(dead_lettered), 'staged', sum(staged)," \
	"  'last_commit', trim_scale(extract(epoch FROM max(last_commit))))" \
	" FROM %1$s.fi_status()"

#define SELECT_PARTITIONS \
	"SELECT json_build_object('count', count(*), 'first', min(day), 'last', max(day)," \
	"  'bytes', coalesce(sum(pg_total_relation_size(partition)), 0))" \
	" FROM %1$s.fi_partitions()"

#define SELECT_DEAD_LETTERS \
	"WITH reasons AS MATERIALIZED (" \
	"  SELECT sqlstate, count(*) AS n, " SHOWN_REASON_OF_MESSAGE " AS reason," \
	"    max(last_attempt) AS newest" \
	"  FROM fast_ingest.dead_letters GROUP BY 1, 3)," \
	" top AS (SELECT * FROM reasons ORDER BY n DESC, newest DESC LIMIT 20)," \
	" newest AS (SELECT * FROM fast_ingest.dead_letters ORDER BY id DESC LIMIT 50)" \
	" SELECT json_build_object(" \
	"  'count', (SELECT coalesce(sum(n), 0) FROM reasons)," \
	"  'dropped', (SELECT sum(dead_letters_dropped) FROM %1$s.fi_status())," \
	"  'reasons', (SELECT coalesce(json_agg(json_build_object('sqlstate', sqlstate," \
	"    'reason', reason, 'count', n, 'newest', trim_scale(extract(epoch FROM newest)))" \
	"    ORDER BY n DESC, newest DESC), '[]') FROM top)," \
	"  'newest', (SELECT coalesce(json_agg(json_build_object('id', id," \
	"    'failed_at', trim_scale(extract(epoch FROM failed_at)), 'attempts', attempts," \
	"    'last_attempt', trim_scale(extract(epoch FROM last_attempt)), 'sqlstate', sqlstate," \
	"    'reason', left(message, " SHOWN_REASON ")," \
	"    'event', left(event::text, " SHOWN_EVENT ")," \
	"    'event_is_cut', length(event::text) > " SHOWN_EVENT ") ORDER BY id DESC), '[]')" \
	"    FROM newest))"

#define SELECT_STREAMS \
	"SELECT coalesce(json_agg(json_build_object('name', s.name, 'kind', kind, 'url', url," \
	"  'target', target, 'state', state, 'since', trim_scale(extract(epoch FROM since))," \
	"  'detail', detail, 'guarantee', guarantee, 'lag_events', lag_events," \
	"  'lag_bytes', lag_bytes, 'lag_seconds', trim_scale(extract(epoch FROM lag))," \
	"  'retained_wal', retained_wal, 'max_retained_wal', max_retained_wal," \
	"  'events_sent', events_sent, 'retries', retries, 'doubts', doubts," \
	"  'backfill_left', backfill_left, 'last_sent', trim_scale(extract(epoch FROM last_sent))," \
	"  'last_error', last_error, 'last_error_at', trim_scale(extract(epoch FROM last_error_at))," \
	"  'dead_letters', dead_letters, 'reasons', coalesce(reasons, '[]')) ORDER BY s.name), '[]')" \
	" FROM %1$s.fi_streams() s LEFT JOIN (" \
	"  SELECT name, json_agg(json_build_object('reason', reason, 'count', n," \
	"    'newest', trim_scale(extract(epoch FROM newest))) ORDER BY n DESC, newest DESC) AS reasons" \
	"  FROM (SELECT name, reason, n, newest," \
	"      row_number() OVER (PARTITION BY name ORDER BY n DESC, newest DESC) AS place" \
	"    FROM (SELECT t.name, left(d.reason, " SHOWN_REASON ") AS reason, count(*) AS n," \
	"        max(d.failed_at) AS newest" \
	"      FROM fast_ingest.stream_dead_letters d JOIN fast_ingest.streams t ON t.id = d.stream_id" \
	"      GROUP BY 1, 2) AS l) AS p WHERE place <= 5 GROUP BY name) AS r USING (name)"

/* where files are is nobody's business who is not on the machine */
#define SELECT_SETTINGS \
	"SELECT coalesce(json_agg(json_build_object('name', name," \
	"  'value', CASE WHEN right(name, 5) <> '_file' THEN setting END, 'unit', unit," \
	"  'default', boot_val, 'pending_restart', pending_restart) ORDER BY name), '[]')" \
	" FROM pg_settings WHERE starts_with(name, 'fast_ingest.')" \
	"  AND (setting IS DISTINCT FROM boot_val OR pending_restart)"

/* A member of the answer and the statement that makes it. */
typedef struct
{
	const char *member;
	const char *statement;
} Part;

static const Part parts[] = {
	{"workers", SELECT_WORKERS},	   {"events", SELECT_EVENTS},
	{"partitions", SELECT_PARTITIONS}, {"dead_letters", SELECT_DEAD_LETTERS},
	{"streams", SELECT_STREAMS},	   {"settings", SELECT_SETTINGS},
};

/* The statement of a part, and the JSON that it answers */
typedef struct
{
	StringInfo text;
	const char *statement;
} PartRun;

/*
 * The first column of the only row of a statement, as a text
 */
static char *
select_text(const char *statement)
{
	if (SpiSelect(statement, 0, 0, NULL, NULL) != 1)
		elog(ERROR, "a statement of GET /status has not answered one row");
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
}

static void
run_part(void *arg)
{
	PartRun *run = arg;
	int level = NewGUCNestLevel();
	SavedUser user;

	SetOption("lock_timeout", LOCK_WAIT, GUC_ACTION_SAVE);
	user = ActAsRollupOwner();
	appendStringInfoString(run->text, select_text(run->statement));
	ActAsCallerAgain(user);
	AtEOXact_GUC(true, level);
}

/*
 * Is an error not one of the part, but of the whole request?
 */
static bool
ends_request(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_QUERY_CANCELED ||
		   ERRCODE_TO_CATEGORY(error->sqlerrcode) == ERRCODE_TRANSACTION_ROLLBACK;
}

static void
write_part(StringInfo text, const Part *part, const char *schema)
{
	PartRun run = {text, psprintf(part->statement, schema)};
	ErrorData *error;
	char description[ERROR_DESCRIPTION_SIZE];

	appendStringInfo(text, ",\"%s\":", part->member);
	error = RunSubtransaction(run_part, &run);
	if (error == NULL)
		return;
	if (ends_request(error))
		ReThrowError(error);
	(void) ErrorDescribe(error, description);
	appendStringInfoChar(text, '{');
	WriteTextMember(text, "error", description);
	appendStringInfoChar(text, '}');
}

static void
write_server(StringInfo text)
{
	char version[EXTENSION_VERSION_SIZE];

	appendStringInfoString(text, "{\"now\":");
	WriteTime(text, GetCurrentStatementStartTimestamp());
	appendStringInfoString(text, ",\"started_at\":");
	WriteTime(text, PgStartTime);
	appendStringInfoChar(text, ',');
	WriteTextMember(text, "version", LibraryVersion);
	appendStringInfoChar(text, ',');
	WriteTextMember(text, "sql_version", ExtensionVersion(version) ? version : "");
	appendStringInfoChar(text, ',');
	WriteTextMember(text, "postgresql", GetConfigOption("server_version", false, false));
	appendStringInfo(text, ",\"is_standby\":%s", RecoveryInProgress() ? "true" : "false");
}

void
AnswerStatus(QueryAnswer *answer, const char *list, size_t len)
{
	static const ParameterTable none = {NULL, 0, false};
	char *schema;

	ParameterTableRead(&none, list, len, NULL, NULL);
	schema = FunctionSchema();
	write_server(&answer->text);
	StatusServerAppend(&answer->text);
	for (int i = 0; i < (int) lengthof(parts); i++)
		write_part(&answer->text, &parts[i], schema);
	appendStringInfoChar(&answer->text, '}');
}
