/*
 * clickhouse.c
 *
 * The sink of ClickHouse: opening it, and asking its server.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "stream/clickhouse/clickhouse_private.h"
#include "stream/wire/wire_url.h"

#include "base/unix_time.h"

#define CONNECT_TIMEOUT 10000 /* ms */
#define REQUEST_TIMEOUT 60000 /* ms; a query that takes longer goes on, and is asked for */
#define NAP 50				  /* ms */

/* 1900-01-01 and 2300-01-01, between which each DateTime64(6) is. */
#define EARLIEST_TIME (-INT64CONST(36524) * USECS_PER_DAY)
#define LATEST_TIME (INT64CONST(109573) * USECS_PER_DAY)

static void
close_sink(Sink *base)
{
	ClickHouse *sink = (ClickHouse *) base;

	WireClose(sink->wire);
}

static const SinkClass clickhouse_class = {.probe = ClickHouseProbe,
										   .encode = ClickHouseEncode,
										   .post = ClickHousePost,
										   .settle = ClickHouseSettle,
										   .clear = ClickHouseClear,
										   .count = ClickHouseCount,
										   .close = close_sink};

/*
 * Split a target into database and table
 */
static void
read_target(ClickHouse *sink, const char *target)
{
	const char *point;

	if (target == NULL || *target == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("a stream of kind \"clickhouse\" needs a target"),
						errhint("Give the table, such as target => 'events'; "
								"SELECT fi_clickhouse_ddl() prints one.")));
	for (const char *p = target; *p != '\0'; p++)
		if ((unsigned char) *p < ' ')
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("target of a stream has a control character in it")));
	point = strchr(target, '.');
	if (point == target || (point != NULL && point[1] == '\0'))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("invalid target of a stream: \"%s\"", target),
						errhint("Give a table, or a database and a table: \"events\", "
								"\"analytics.events\".")));
	if (point == NULL)
	{
		sink->table = pstrdup(target);
		sink->quoted = ClickHouseQuote('`', target);
		return;
	}
	sink->database = pnstrdup(target, point - target);
	sink->table = pstrdup(point + 1);
	sink->quoted =
		psprintf("%s.%s", ClickHouseQuote('`', sink->database), ClickHouseQuote('`', sink->table));
}

/*
 * A header of a user's name or password, which must not begin another header
 */
static char *
make_header(const char *field, const char *name, const char *value)
{
	if (strpbrk(value, "\r\n") != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s of a stream has a line break in it", field)));
	return psprintf("%s: %s", name, value);
}

static void
check_url(const char *url)
{
	static const char *const forbidden[] = {"user=", "password=", "query="};
	const char *query = strchr(url, '?');

	for (size_t i = 0; query != NULL && i < lengthof(forbidden); i++)
	{
		const char *found = strstr(query, forbidden[i]);

		if (found != NULL && (found[-1] == '?' || found[-1] == '&'))
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("url of a stream has a parameter \"%s\"", forbidden[i]),
							errhint("Give user and password as arguments username and secret, or "
									"secret_file: logs show URLs.")));
	}
}

Sink *
ClickHouseOpen(const Stream *stream)
{
	ClickHouse *sink = palloc0(sizeof(ClickHouse));
	WireConfig config = {.url = stream->url,
						 .ca_file = stream->ca_file,
						 .cert_file = stream->cert_file,
						 .key_file = stream->key_file,
						 .connect_timeout = CONNECT_TIMEOUT,
						 .timeout = REQUEST_TIMEOUT};
	int nheaders = 0;

	sink->base.class = &clickhouse_class;
	sink->base.stream = stream;
	check_url(stream->url);
	read_target(sink, stream->target);
	if (stream->username != NULL)
		sink->headers[nheaders++] = make_header("username", "X-ClickHouse-User", stream->username);
	if (stream->secret != NULL)
		sink->headers[nheaders++] = make_header("secret", "X-ClickHouse-Key", stream->secret);
	sink->headers[nheaders++] = "Content-Type: text/plain; charset=UTF-8";
	sink->shape.null_tags = true;
	sink->scratch =
		AllocSetContextCreate(CurrentMemoryContext, "clickhouse sink", ALLOCSET_DEFAULT_SIZES);
	sink->wire = WireOpen(&config);
	return &sink->base;
}

void
ClickHouseBegin(ClickHouse *sink, SinkResult *result)
{
	MemoryContextReset(sink->scratch);
	memset(result, 0, sizeof(*result));
}

void
ClickHouseResult(SinkResult *result, SinkOutcome outcome, const char *format, ...)
{
	va_list arguments;

	result->outcome = outcome;
	va_start(arguments, format);
	vsnprintf(result->message, sizeof(result->message), format, arguments);
	va_end(arguments);
}

bool
ClickHouseAsk(ClickHouse *sink, const char *query, const char *parameters, StringInfo body,
			  SinkResult *result)
{
	MemoryContext caller = MemoryContextSwitchTo(sink->scratch);
	WireRequest request = {
		.query = psprintf("wait_end_of_query=1%s%s", parameters != NULL ? "&" : "",
						  parameters != NULL ? parameters : ""),
		.headers = sink->headers,
		.body = query,
		.body_len = strlen(query),
	};
	WireReply reply;
	ClickHouseAnswer answer;

	WirePost(sink->wire, &request, sink->base.go_on, sink->base.go_on_arg, &reply);
	MemoryContextSwitchTo(caller);
	result->retry_after = reply.retry_after;
	if (reply.outcome != WIRE_ANSWERED)
	{
		ClickHouseResult(result, reply.outcome == WIRE_NOT_SENT ? SINK_AGAIN : SINK_IN_DOUBT, "%s",
						 reply.message);
		return false;
	}
	ClickHouseAnswerRead(reply.status, WireHeader(&reply, "X-ClickHouse-Exception-Code"),
						 (Slice){reply.body.data, reply.body.len}, false, &answer);
	if (answer.meaning != CLICKHOUSE_OK)
	{
		ClickHouseResult(result, answer.meaning == CLICKHOUSE_NOTHING ? SINK_AGAIN : SINK_IN_DOUBT,
						 "%s", answer.message);
		return false;
	}
	*body = reply.body;
	return true;
}

bool
ClickHouseNap(const ClickHouse *sink, long milliseconds)
{
	for (long slept = 0; slept < milliseconds; slept += NAP)
	{
		if (sink->base.go_on != NULL && !sink->base.go_on(sink->base.go_on_arg))
			return false;
		pg_usleep(NAP * 1000L);
	}
	return true;
}

char *
ClickHouseQuote(char quote, const char *text)
{
	StringInfoData out;

	initStringInfo(&out);
	appendStringInfoChar(&out, quote);
	for (; *text != '\0'; text++)
	{
		if (*text == quote || *text == '\\')
			appendStringInfoChar(&out, '\\');
		appendStringInfoChar(&out, *text);
	}
	appendStringInfoChar(&out, quote);
	return out.data;
}

char *
ClickHouseLiteral(const char *text)
{
	return ClickHouseQuote('\'', text);
}

char *
ClickHouseTableCondition(const ClickHouse *sink, const char *table_column)
{
	return psprintf("database = %s AND %s = %s",
					sink->database != NULL ? ClickHouseLiteral(sink->database)
										   : "currentDatabase()",
					table_column, ClickHouseLiteral(sink->table));
}

/*
 * Times as microseconds since 1970, which both shapes can be compared with
 */
char *
ClickHouseRange(const ClickHouse *sink, TimestampTz since, TimestampTz until)
{
	long long low = Max(since, EARLIEST_TIME) + UNIX_EPOCH_OFFSET;
	long long high = Min(until, LATEST_TIME) + UNIX_EPOCH_OFFSET;

	if (sink->target.shape.microseconds)
		return psprintf("_source = '%s' AND ts_us >= %lld AND ts_us < %lld",
						sink->base.stream->source, low, high);
	return psprintf("_source = '%s' AND ts >= fromUnixTimestamp64Micro(toInt64(%lld), 'UTC') AND "
					"ts < fromUnixTimestamp64Micro(toInt64(%lld), 'UTC')",
					sink->base.stream->source, low, high);
}
