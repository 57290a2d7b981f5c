/*
 * answer_retry.c
 *
 * POST /dead_letters/retry: has events stored that the database refused, or those sent that the
 * target of a stream refused. The body is {"ids": [1, 2]} or {"all": true}. With all it may name a
 * "sqlstate" and a "reason" as GET /status shows them; or a stream.
 *
 * Events are stored with the rights of the worker's role, as a flusher does: triggers of the table
 * may be of somebody who is trusted no further. For streams only a flag is set, in a table of the
 * extension's.
 */
#include "postgres.h"

#include "query/operation/operation.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "base/compat.h"
#include "db/act_as_owner.h"
#include "db/error_class.h"
#include "db/own_tables.h"
#include "db/spi.h"
#include "db/transaction.h"
#include "query/operation/function_schema.h"

#define MAX_IDS 1000
#define MAX_LETTERS 10000 /* that {"all": true} tries at once */
#define SHOWN_TEXT 61	  /* bytes of a text in messages, with its NUL */

#define BODY_EXPECTED \
	"{\"ids\":[1,2]} or {\"all\":true}, and \"stream\":\"name\" for those of a stream"

typedef struct
{
	int nids; /* 0: all */
	Datum ids[MAX_IDS];
	char *stream;	/* NULL: events that the database refused */
	char *sqlstate; /* NULL: any */
	char *reason;	/* as it is shown; NULL: any */
} RetryRequest;

/* A body and what it means as JSON */
typedef struct
{
	const char *body;
	Jsonb *json;
} ParsedBody;

static void
parse_body(void *arg)
{
	ParsedBody *parsed = arg;

	parsed->json =
		DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum((char *) parsed->body)));
}

/*
 * A text of the body as messages show it: the first bytes of it, but no part of a character
 */
static char *
shorten(const char *text)
{
	char *shown = palloc(SHOWN_TEXT);

	ErrorCopyText(shown, text, SHOWN_TEXT);
	return shown;
}

pg_noreturn static void
refuse_member(const char *name, const char *expected)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("%s is not allowed: expected %s", name, expected)));
}

/*
 * Read the body as an object of JSON
 */
static JsonbContainer *
read_object(const char *body)
{
	ParsedBody parsed = {.body = body};
	ErrorData *error = RunSubtransaction(parse_body, &parsed);

	if (error != NULL && ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_DATA_EXCEPTION &&
		ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_PROGRAM_LIMIT_EXCEEDED)
		ReThrowError(error);
	if (error != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("body is not JSON: %s Expected " BODY_EXPECTED,
							   error->detail ? error->detail : psprintf("%s.", error->message))));
	if (!JB_ROOT_IS_OBJECT(parsed.json))
		refuse_member("body", BODY_EXPECTED);
	return &parsed.json->root;
}

/*
 * Read a number of a dead letter
 */
static Datum
read_id(const JsonbValue *value)
{
	static const char expected[] = "whole numbers from 1, those of dead letters";
	char *text;
	char *end;
	int64 id;

	if (value->type != jbvNumeric)
		refuse_member("ids", expected);
	text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
	errno = 0;
	id = strtoll(text, &end, 10);
	if (errno != 0 || *end != '\0' || id < 1)
		refuse_member(psprintf("ids with %.40s", text), expected);
	return Int64GetDatum(id);
}

static void
read_ids(RetryRequest *request, const JsonbValue *value)
{
	uint32 n;

	if (value->type != jbvBinary || !JsonContainerIsArray(value->val.binary.data))
		refuse_member("ids", "an array of numbers");
	n = JsonContainerSize(value->val.binary.data);
	if (n < 1 || n > MAX_IDS)
		refuse_member(psprintf("ids with %u numbers", n),
					  "1 to " CppAsString2(MAX_IDS) ", or \"all\":true");
	for (uint32 i = 0; i < n; i++)
		request->ids[request->nids++] =
			read_id(getIthJsonbValueFromContainer(value->val.binary.data, i));
}

static char *
read_text(const JsonbValue *value, const char *name, const char *expected)
{
	if (value->type != jbvString)
		refuse_member(name, expected);
	return pnstrdup(value->val.string.val, value->val.string.len);
}

static void
read_member(RetryRequest *request, const char *name, const JsonbValue *value, bool *all)
{
	if (strcmp(name, "ids") == 0)
		read_ids(request, value);
	else if (strcmp(name, "all") == 0)
	{
		if (value->type != jbvBool || !value->val.boolean)
			refuse_member("all", "true");
		*all = true;
	}
	else if (strcmp(name, "stream") == 0)
		request->stream = read_text(value, name, "the name of a stream");
	else if (strcmp(name, "sqlstate") == 0)
		request->sqlstate = read_text(value, name, "the SQLSTATE of dead letters");
	else if (strcmp(name, "reason") == 0)
		request->reason = read_text(value, name, "the reason of dead letters");
	else
		refuse_member(psprintf("unknown member \"%s\"", shorten(name)), BODY_EXPECTED);
}

static RetryRequest *
read_request(const char *body)
{
	RetryRequest *request = palloc0(sizeof(RetryRequest));
	JsonbIterator *iterator = JsonbIteratorInit(read_object(body));
	JsonbIteratorToken token;
	JsonbValue value;
	bool all = false;

	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		char *name;

		if (token != WJB_KEY)
			continue;
		name = pnstrdup(value.val.string.val, value.val.string.len);
		(void) JsonbIteratorNext(&iterator, &value, true);
		read_member(request, name, &value, &all);
	}
	if (all == (request->nids > 0))
		refuse_member(all ? "body with both ids and all" : "body with neither ids nor all",
					  BODY_EXPECTED);
	if ((request->sqlstate != NULL || request->reason != NULL) && (!all || request->stream != NULL))
		refuse_member("sqlstate or reason with ids or a stream", "them with \"all\":true");
	return request;
}

/*
 * The ids as an array of SQL; NULL if all are meant
 */
static Datum
make_ids(RetryRequest *request)
{
	if (request->nids == 0)
		return (Datum) 0;
	return PointerGetDatum(construct_array(request->ids, request->nids, INT8OID, sizeof(int64),
										   FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

#define SELECT_CHOSEN \
	"SELECT coalesce(array_agg(id), '{}')" \
	" FROM (SELECT id FROM fast_ingest.dead_letters" \
	"  WHERE ($1 IS NULL OR sqlstate = $1)" \
	"   AND ($2 IS NULL OR " SHOWN_REASON_OF_MESSAGE " = $2)" \
	"  ORDER BY id LIMIT " CppAsString2(MAX_LETTERS) ") AS chosen"

/*
 * The ids of those that GET /status shows with a reason, as an array of SQL
 */
static Datum
select_ids(RetryRequest *request)
{
	Oid types[] = {TEXTOID, TEXTOID};
	Datum values[2] = {0};
	char nulls[] = {'n', 'n'};
	SavedUser user = ActAsRollupOwner();
	bool isnull;

	if (request->sqlstate != NULL)
	{
		values[0] = CStringGetTextDatum(request->sqlstate);
		nulls[0] = ' ';
	}
	if (request->reason != NULL)
	{
		values[1] = CStringGetTextDatum(request->reason);
		nulls[1] = ' ';
	}
	(void) SpiRunWithNulls(SELECT_CHOSEN, SPI_OK_SELECT, lengthof(types), types, values, nulls);
	ActAsCallerAgain(user);
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
}

static int64
count_letters(void)
{
	SavedUser user = ActAsRollupOwner();
	int64 n;

	(void) SpiRun("SELECT count(*) FROM fast_ingest.dead_letters", SPI_OK_SELECT);
	n = SpiInt64(1);
	ActAsCallerAgain(user);
	return n;
}

/*
 * Retry events. All arguments are given, with their types: others may make functions in the schema,
 * and with one of the same name that takes fewer, a shorter call would be ambiguous. What a trigger
 * sets for the session is undone, because questions of others follow in it.
 */
static void
retry_events(StringInfo text, RetryRequest *request)
{
	int settings = NewGUCNestLevel();
	Oid types[] = {INT8ARRAYOID, INT8OID};
	bool is_chosen = request->sqlstate != NULL || request->reason != NULL;
	Datum values[] = {is_chosen ? select_ids(request) : make_ids(request),
					  Int64GetDatum(MAX_LETTERS)};

	(void) SpiRunWithNulls(psprintf("SELECT retried, stored, duplicates, failed"
									" FROM %s.fi_retry_dead_letters($1, NULL::pg_catalog.text,"
									" NULL::pg_catalog.text, NULL::pg_catalog.jsonb,"
									" NULL::pg_catalog.timestamptz, NULL::pg_catalog.timestamptz,"
									" $2)",
									FunctionSchema()),
						   SPI_OK_SELECT, lengthof(types), types, values,
						   is_chosen || request->nids > 0 ? "  " : "n ");
	AtEOXact_GUC(false, settings);
	appendStringInfo(text,
					 "{\"retried\":" INT64_FORMAT ",\"stored\":" INT64_FORMAT
					 ",\"duplicates\":" INT64_FORMAT ",\"failed\":" INT64_FORMAT,
					 SpiInt64(1), SpiInt64(2), SpiInt64(3), SpiInt64(4));
	appendStringInfo(text, ",\"left\":" INT64_FORMAT "}", count_letters());
}

static void
retry_of_stream(StringInfo text, RetryRequest *request)
{
	Oid types[] = {TEXTOID, INT8ARRAYOID};
	Datum values[] = {CStringGetTextDatum(request->stream), make_ids(request)};
	SavedUser user = ActAsRollupOwner();

	if (SpiRunWith("SELECT FROM fast_ingest.streams WHERE name = $1", SPI_OK_SELECT, 1, types,
				   values) == 0)
		refuse_member(psprintf("stream \"%s\"", shorten(request->stream)), "the name of a stream");
	(void) SpiRunWithNulls(
		psprintf("SELECT %s.fi_retry_stream_dead_letters($1, $2)", FunctionSchema()), SPI_OK_SELECT,
		lengthof(types), types, values, request->nids == 0 ? " n" : "  ");
	appendStringInfo(text, "{\"retried\":" INT64_FORMAT "}", SpiInt64(1));
	ActAsCallerAgain(user);
}

void
AnswerRetry(QueryAnswer *answer, const char *body, size_t len)
{
	RetryRequest *request = read_request(body);

	/* those of the table of events, whose errors may quote events */
	ErrorExpectUserTriggers();
	if (request->stream != NULL)
		retry_of_stream(&answer->text, request);
	else
		retry_events(&answer->text, request);
}
