/*
 * clickhouse_range.c
 *
 * The events of a range of time: counting and deleting them.
 *
 * What is counted is what a SELECT count() without FINAL shows: a row that is there twice until
 * the next merge counts twice.
 *
 * Deleting is a mutation, which ClickHouse runs in the background. Ours has a text in its
 * condition that no other has, so that another one, running or done, is not taken for it.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/timestamp.h"

#include "stream/clickhouse/clickhouse_private.h"

#include "base/clock.h"
#include "base/unix_time.h"

/* Days that one query counts: its answer must not be longer than the wire keeps. */
#define MAX_DAYS 2000

/* How long one call waits for a mutation, and between two looks at it. */
#define MUTATION_WAIT 10000 /* ms */
#define MUTATION_LOOK 500	/* ms */

static bool
ask_count(ClickHouse *sink, TimestampTz since, TimestampTz until, unsigned long long *rows,
		  SinkResult *result)
{
	StringInfoData body;
	ClickHouseLine line;
	size_t position = 0;
	char *query = psprintf("SELECT count() FROM %s WHERE %s FORMAT TabSeparated", sink->quoted,
						   ClickHouseRange(sink, since, until));

	if (!ClickHouseAsk(sink, query, NULL, &body, result))
	{
		result->outcome = SINK_AGAIN;
		return false;
	}
	if (!ClickHouseLineRead(body.data, body.len, &position, &line) || line.nfields != 1 ||
		!ClickHouseNumber(line.fields[0], rows))
	{
		ClickHouseResult(result, SINK_AGAIN, "ClickHouse does not answer with a number");
		return false;
	}
	return true;
}

/* --- deleting ----------------------------------------------------------- */

/*
 * Begin to delete
 */
static bool
start_mutation(ClickHouse *sink, TimestampTz since, TimestampTz until, SinkResult *result)
{
	StringInfoData body;
	char *query;

	snprintf(sink->clear_tag, sizeof(sink->clear_tag), "fast_ingest " INT64_FORMAT " %d",
			 GetCurrentTimestamp(), MyProcPid);
	sink->clear_since = since;
	sink->clear_until = until;
	query = psprintf("ALTER TABLE %s DELETE WHERE %s AND %s != ''", sink->quoted,
					 ClickHouseRange(sink, since, until), ClickHouseLiteral(sink->clear_tag));
	if (ClickHouseAsk(sink, query,
					  ClickHouseKnows(sink, SETTING_MUTATIONS_SYNC) ? "mutations_sync=0" : NULL,
					  &body, result))
		return true;
	/* in doubt: it is looked for like any other */
	if (result->outcome == SINK_IN_DOUBT)
		return true;
	sink->clear_tag[0] = '\0';
	return false;
}

/*
 * Look at our mutation. False: *result says that it goes on, or what is wrong; it is forgotten
 * if there is none.
 */
static bool
is_mutated(ClickHouse *sink, SinkResult *result)
{
	StringInfoData body;
	ClickHouseLine line;
	size_t position = 0;
	unsigned long long mutations;
	unsigned long long undone;
	unsigned long long parts;
	const char *reason = sink->target.version >= 2000 ? "any(latest_fail_reason)" : "''";
	char *query = psprintf("SELECT count(), countIf(is_done = 0), toUInt64(sum(parts_to_do)), %s "
						   "FROM system.mutations WHERE %s AND position(command, %s) > 0 "
						   "FORMAT TabSeparated",
						   reason, ClickHouseTableCondition(sink, "table"),
						   ClickHouseLiteral(sink->clear_tag));

	if (!ClickHouseAsk(sink, query, NULL, &body, result))
		return false;
	if (!ClickHouseLineRead(body.data, body.len, &position, &line) || line.nfields != 4 ||
		!ClickHouseNumber(line.fields[0], &mutations) ||
		!ClickHouseNumber(line.fields[1], &undone) || !ClickHouseNumber(line.fields[2], &parts))
	{
		ClickHouseResult(result, SINK_AGAIN, "ClickHouse does not say how far it is with deleting");
		return false;
	}
	if (mutations == 0)
	{
		sink->clear_tag[0] = '\0';
		ClickHouseResult(result, SINK_AGAIN, "ClickHouse has not begun to delete");
		return false;
	}
	if (undone > 0)
	{
		char reason_text[WIRE_MESSAGE_SIZE];

		WireMessageCopy(reason_text, line.fields[3].data, line.fields[3].len);
		ClickHouseResult(result, SINK_AGAIN, "ClickHouse is deleting; %llu parts are left%s%s",
						 parts, reason_text[0] != '\0' ? ": " : "", reason_text);
		return false;
	}
	return true;
}

static void
clear_range(ClickHouse *sink, TimestampTz since, TimestampTz until, SinkResult *result)
{
	int64 deadline = MonotonicAfter(MonotonicNow(), MUTATION_WAIT);
	unsigned long long left;

	if (sink->target.version == 0 && !ClickHouseLook(sink, result))
		return;
	if (sink->clear_since != since || sink->clear_until != until)
		sink->clear_tag[0] = '\0';
	if (sink->clear_tag[0] == '\0')
	{
		if (!ask_count(sink, since, until, &left, result))
			return;
		if (left == 0)
		{
			result->outcome = SINK_DONE;
			return;
		}
		if (!start_mutation(sink, since, until, result))
			return;
	}
	while (!is_mutated(sink, result))
	{
		if (sink->clear_tag[0] == '\0' || MonotonicNow() >= deadline ||
			!ClickHouseNap(sink, MUTATION_LOOK))
		{
			result->outcome = SINK_AGAIN;
			return;
		}
	}
	sink->clear_tag[0] = '\0';
	if (!ask_count(sink, since, until, &left, result))
		return;
	if (left > 0)
		ClickHouseResult(result, SINK_AGAIN, "%llu events are left after deleting", left);
	else
		ClickHouseResult(result, SINK_DONE, "%s", "");
}

void
ClickHouseClear(Sink *base, TimestampTz since, TimestampTz until, SinkResult *result)
{
	ClickHouse *sink = (ClickHouse *) base;
	MemoryContext caller;

	ClickHouseBegin(sink, result);
	caller = MemoryContextSwitchTo(sink->scratch);
	clear_range(sink, since, until, result);
	MemoryContextSwitchTo(caller);
}

/* --- counting ----------------------------------------------------------- */

/*
 * Count at most MAX_DAYS days
 */
static bool
count_days(ClickHouse *sink, TimestampTz since, TimestampTz until, int64 *counts, int ndays,
		   SinkResult *result)
{
	StringInfoData body;
	ClickHouseLine line;
	size_t position = 0;
	bool good = true;
	char *query =
		psprintf("SELECT intDiv(%s - toInt64(" INT64_FORMAT "), " INT64_FORMAT ") AS day, count() "
				 "FROM %s WHERE %s GROUP BY day FORMAT TabSeparated",
				 sink->target.shape.microseconds ? "ts_us" : "toUnixTimestamp64Micro(ts)",
				 since + UNIX_EPOCH_OFFSET, USECS_PER_DAY, sink->quoted,
				 ClickHouseRange(sink, since, until));

	if (!ClickHouseAsk(sink, query, NULL, &body, result))
	{
		result->outcome = SINK_AGAIN;
		return false;
	}
	while (good && ClickHouseLineRead(body.data, body.len, &position, &line))
	{
		unsigned long long day;
		unsigned long long rows;

		good = line.nfields == 2 && ClickHouseNumber(line.fields[0], &day) &&
			   ClickHouseNumber(line.fields[1], &rows) && day < (unsigned int) ndays;
		if (good)
			counts[day] = (int64) rows;
	}
	if (!good || position != (size_t) body.len)
	{
		ClickHouseResult(result, SINK_AGAIN, "ClickHouse does not answer with a count of each day");
		return false;
	}
	return true;
}

static void
count_range(ClickHouse *sink, TimestampTz since, TimestampTz until, int64 *counts,
			SinkResult *result)
{
	if (sink->target.version == 0 && !ClickHouseLook(sink, result))
		return;
	while (since < until)
	{
		TimestampTz next = Min(until, since + MAX_DAYS * USECS_PER_DAY);
		int ndays = (int) ((next - since + USECS_PER_DAY - 1) / USECS_PER_DAY);

		memset(counts, 0, sizeof(int64) * ndays);
		if (!count_days(sink, since, next, counts, ndays, result))
			return;
		counts += ndays;
		since = next;
	}
	result->outcome = SINK_DONE;
}

void
ClickHouseCount(Sink *base, TimestampTz since, TimestampTz until, int64 *counts, SinkResult *result)
{
	ClickHouse *sink = (ClickHouse *) base;
	MemoryContext caller;

	ClickHouseBegin(sink, result);
	caller = MemoryContextSwitchTo(sink->scratch);
	count_range(sink, since, until, counts, result);
	MemoryContextSwitchTo(caller);
}
