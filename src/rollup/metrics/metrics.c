/*
 * metrics.c
 *
 * Computes answers: what a query asks for (here), what answers it (choose_rows.c), its groups
 * (metrics_groups.c), what is read and counted (metrics_read.c), and the rows of the answer
 * (metrics_answer.c).
 *
 * What makes an answer exact
 * --------------------------
 * One snapshot: everything is read in the active snapshot. Events and their deltas are
 * inserted in one transaction, and a delta is deleted in the transaction that merges it into
 * the rollup. So each event of the snapshot is either in a delta or in rows of the rollup.
 *
 * One source: cover_range.c assigns each time of the range to one kind of rows. Closed days
 * and hours are read from their rows; the minutes between from rows of minutes if their hour is
 * open, otherwise from the hour's row; and of a minute that the range cuts the part from the
 * times in these rows, if the breakdown keeps times. Deltas are added to these. Raw rows are read
 * instead of both where the range cuts another bucket, where events were changed and are to be
 * counted again, and where the rollup may have counted the event_name or the key among others;
 * for filters that the rollup does not have, everywhere.
 *
 * Users once: a row of the rollup holds the set of its users. The sets of a group's rows are
 * united, and the users of deltas and raw rows are added.
 *
 * Retention drops raw rows and leaves the rollup. If dropped raw rows are needed, the answer
 * is an error.
 */
#include "postgres.h"

#include "rollup/metrics/metrics.h"

#include "executor/spi.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "db/own_tables.h"
#include "db/set_option.h"
#include "partition/current_partitions.h"
#include "rollup/breakdown/breakdown_buckets.h"
#include "rollup/breakdown/rollup_text.h"
#include "rollup/metrics/metrics_private.h"
#include "rollup/state/key_limit.h"
#include "rollup/state/recount.h"
#include "rollup/state/restored.h"

void
MetricsRefuse(const char *name, const char *value, const char *expected)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("%s \"%s\" is not valid: expected %s", name, value, expected)));
}

/*
 * Find the range that a query asks for. Infinity is no bound.
 */
static TimeRange
find_range(const MetricsQuery *query)
{
	TimestampTz low = query->has_from ? query->from : TIME_BEGIN;
	TimestampTz high = query->has_to ? query->to : TIME_END;

	if (low >= high)
	{
		char *from = pstrdup(query->has_from ? timestamptz_to_str(query->from) : "-infinity");

		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must be before %s: %s is not before %s", query->names->from,
							   query->names->to, from,
							   query->has_to ? timestamptz_to_str(query->to) : "infinity")));
	}
	return (TimeRange){Max(low, TIME_BEGIN), Min(high, TIME_END)};
}

/*
 * Find the event_name as the rollup has it; NULL for all
 */
static const char *
find_event_name(const char *event_name)
{
	char *copy;

	if (event_name == NULL)
		return NULL;
	if (event_name[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("event_name is empty: expected the name of an event")));
	copy = palloc(ROLLUP_TEXT_SIZE + 1);
	copy[RollupText(event_name, strlen(event_name), copy)] = '\0';
	return copy;
}

/*
 * Find the times at which the rollup may have counted what is asked for among others. Only
 * raw rows tell the number there, so it is an error if some of these have been dropped.
 */
static TimeRangeList *
find_uncertain_ranges(const MetricsRun *run)
{
	static const RunTarget anything = {0};
	TimeRangeList *uncertain = palloc0(sizeof(TimeRangeList));
	TimeRangeList range = {0};
	TimeRangeList *dropped;

	for (int i = 0; i < Max(run->ntargets, 1); i++)
	{
		const RunTarget *target = run->ntargets > 0 ? &run->targets[i] : &anything;

		uncertain = TimeRangeListUnion(uncertain,
									   KeyLimitUncertain(run->breakdown, run->event_name,
														 target->scope, target->key, run->range));
	}
	if (uncertain->n == 0)
		return uncertain;
	TimeRangeListAdd(&range, run->range.low, run->range.high);
	dropped = TimeRangeListDifference(TimeRangeListIntersection(uncertain, &range),
									  EventsCoverage(GetActiveSnapshot()));
	if (dropped->n > 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("raw events before %s are needed and have been dropped",
							   timestamptz_to_str(dropped->ranges[0].high)),
						errdetail("More event_names or keys than are kept apart were counted "
								  "together, and what is asked for may be among them."),
						errhint("Ask for other times. See fast_ingest.max_event_names, and "
								"max_keys of fast_ingest.breakdowns.")));
	return uncertain;
}

/*
 * Widen the range to whole buckets of what answers it
 */
static void
align_range(MetricsRun *run)
{
	const Breakdown *breakdown = run->all_raw ? run->channels : run->breakdown;

	if (run->query->has_from)
		run->range.low = BreakdownBucketStart(breakdown, run->range.low);
	if (run->query->has_to)
		run->range.high = BreakdownBucketEnd(breakdown, run->range.high);
}

void
MetricsRunBegin(MetricsRun *run, const MetricsQuery *query)
{
	Snapshot snapshot = GetActiveSnapshot();
	const char *timezone = query->timezone ? query->timezone : "UTC";
	MetricsQuery *bounded = palloc(sizeof(MetricsQuery));

	*bounded = *query;
	bounded->has_from &= !TIMESTAMP_IS_NOBEGIN(query->from);
	bounded->has_to &= !TIMESTAMP_IS_NOEND(query->to);
	memset(run, 0, sizeof(*run));
	run->query = bounded;
	run->event_name = find_event_name(query->event_name);
	run->range = find_range(query);
	RestoredCheck(RestoredUpTo(), snapshot);
	(void) RollupStateRead(snapshot, &run->state);
	MetricsRunChoose(run, BreakdownsRead(snapshot, run->state.days_closed));
	run->zone = CalendarZone(timezone);
	if (run->zone == NULL)
		MetricsRefuse(query->names->timezone, timezone, "a name like UTC or Europe/Istanbul");
	if (query->align)
		align_range(run);
	if (run->by != BY_NONE)
		run->limit = query->limit;
	UnresolvedUsersInit(&run->users, snapshot, &run->state, run->all_raw);
	if (run->all_raw)
	{
		run->raw_ranges = palloc0(sizeof(TimeRangeList));
		return;
	}
	run->raw_ranges =
		TimeRangeListUnion(RecountPending(snapshot, run->breakdown), find_uncertain_ranges(run));
}

void
MetricsRunCount(MetricsRun *run)
{
	MetricsRunMakeGroups(run);
	MetricsRunRead(run);
}

void
MetricsSessionBegin(MetricsSession *session)
{
	MemoryContext context;

	session->caller = CurrentMemoryContext;
	context = AllocSetContextCreate(session->caller, "fast_ingest answer", ALLOCSET_DEFAULT_SIZES);
	session->level = NewGUCNestLevel();
	/* rows of the rollup are found by an index, whatever the planner knows of the table */
	SetOption("enable_seqscan", "off", GUC_ACTION_SAVE);
	LockEventsTable();
	CurrentPartitionsLoad();
	session->user = ActAsRollupOwner();
	SPI_connect();
	MemoryContextSwitchTo(context);
}

void
MetricsSessionEnd(MetricsSession *session)
{
	SPI_finish();
	ActAsCallerAgain(session->user);
	AtEOXact_GUC(true, session->level);
	MemoryContextSwitchTo(session->caller);
}

MetricsAnswer *
MetricsCompute(const MetricsQuery *query)
{
	MetricsSession session;
	MetricsAnswer *answer;
	MetricsRun run;

	MetricsSessionBegin(&session);
	MetricsRunBegin(&run, query);
	if (run.all_raw && query->rollup_only)
	{
		answer = palloc0(sizeof(MetricsAnswer));
		answer->left_out = true;
	}
	else
	{
		MetricsRunCount(&run);
		answer = MetricsRunAnswer(&run);
	}
	MetricsSessionEnd(&session);
	return answer;
}
