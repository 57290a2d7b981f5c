/*
 * metrics.c
 *
 * Computes answers: what a query asks for (here), its groups (metrics_groups.c), what is read
 * and counted (metrics_read.c), and the rows of the answer (metrics_answer.c).
 *
 * What makes an answer exact
 * --------------------------
 * One snapshot: everything is read in the active snapshot. Events and their deltas are
 * inserted in one transaction, and a delta is deleted in the transaction that merges it into
 * the rollup. So each event of the snapshot is either in a delta or in rows of the rollup.
 *
 * One source: cover_range.c assigns each time of the range to one kind of rows. Closed days
 * and hours are read from their rows; the minutes between from rows of minutes if their hour is
 * open, otherwise from the hour's row. Deltas are added to these. Raw rows are read instead
 * of both where the range cuts a bucket, where events were changed and are to be counted
 * again, and where the rollup may have counted the event_name or the key among others; for
 * the keys of one channel, which the rollup does not have, everywhere.
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
#include "db/act_as_owner.h"
#include "db/own_tables.h"
#include "db/set_option.h"
#include "partition/current_partitions.h"
#include "rollup/breakdown/rollup_text.h"
#include "rollup/metrics/metrics_private.h"
#include "rollup/state/key_limit.h"
#include "rollup/state/recount.h"
#include "rollup/state/restored.h"

pg_noreturn static void refuse_argument(const char *name, const char *value, const char *expected);

static void
refuse_argument(const char *name, const char *value, const char *expected)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("%s \"%s\" is not valid: expected %s", name, value, expected)));
}

static void
check_query(const MetricsQuery *query)
{
	if (query->event_name[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("event_name is empty: expected the name of an event")));
	if ((query->has_from ? query->from : TIME_BEGIN) >= (query->has_to ? query->to : TIME_END))
	{
		char *from = pstrdup(query->has_from ? timestamptz_to_str(query->from) : "-infinity");

		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must be before %s: %s is not before %s", query->names->from,
							   query->names->to, from,
							   query->has_to ? timestamptz_to_str(query->to) : "infinity")));
	}
}

/*
 * Choose the groups, and the breakdown whose rows are read
 */
static void
choose_grouping(MetricsRun *run)
{
	BreakdownList *breakdowns = BreakdownsRead(GetActiveSnapshot());
	const char *group_by = run->query->group_by;
	const char *timezone = run->query->timezone ? run->query->timezone : "UTC";

	run->breakdown = BreakdownBuiltIn(breakdowns, BREAKDOWN_CHANNEL);
	if (group_by == NULL)
		run->kind = GROUP_NONE;
	else if (strcmp(group_by, "hour") == 0)
		run->kind = GROUP_HOUR;
	else if (strcmp(group_by, "day") == 0)
		run->kind = GROUP_DAY;
	else
	{
		run->kind = GROUP_KEY;
		run->breakdown = BreakdownByName(breakdowns, group_by);
		if (run->breakdown == NULL)
			refuse_argument("group_by", group_by,
							"hour, day, channel, site, page or a breakdown made by "
							"fi_add_breakdown()");
	}
	run->zone = CalendarZone(timezone);
	if (run->zone == NULL)
		refuse_argument(run->query->names->timezone, timezone,
						"a name like UTC or Europe/Istanbul");
}

/*
 * Copy a text as the rollup has it
 */
static char *
copy_rollup_text(const char *text)
{
	char *copy = palloc(ROLLUP_TEXT_SIZE + 1);

	copy[RollupText(text, strlen(text), copy)] = '\0';
	return copy;
}

/*
 * Find the times at which the rollup may have counted what is asked for among others. Only
 * raw rows tell the number there, so it is an error if some of these have been dropped.
 */
static TimeRangeList *
find_uncertain_ranges(const MetricsRun *run)
{
	TimeRangeList *uncertain =
		KeyLimitUncertain(run->breakdown, run->event_name, run->key, run->range);
	TimeRangeList range = {0};
	TimeRangeList *dropped;

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
 * Begin a run: what the query asks for, and the state of the rollup in the active snapshot
 */
static void
begin_run(MetricsRun *run, const MetricsQuery *query)
{
	Snapshot snapshot = GetActiveSnapshot();

	memset(run, 0, sizeof(*run));
	run->query = query;
	choose_grouping(run);
	run->event_name = copy_rollup_text(query->event_name);
	if (query->channel != NULL)
	{
		run->all_raw = run->breakdown->id != BREAKDOWN_CHANNEL;
		if (!run->all_raw)
			run->key = copy_rollup_text(query->channel);
	}
	run->range.low = query->has_from ? Max(query->from, TIME_BEGIN) : TIME_BEGIN;
	run->range.high = query->has_to ? Min(query->to, TIME_END) : TIME_END;
	RestoredCheck(RestoredUpTo(), snapshot);
	(void) RollupStateRead(snapshot, &run->state);
	run->raw_ranges =
		TimeRangeListUnion(RecountPending(snapshot, run->breakdown->id, run->breakdown->finest),
						   find_uncertain_ranges(run));
	UnresolvedUsersInit(&run->users, snapshot);
}

MetricsAnswer *
MetricsCompute(const MetricsQuery *query)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context =
		AllocSetContextCreate(caller, "fast_ingest answer", ALLOCSET_DEFAULT_SIZES);
	MetricsQuery bounded = *query;
	MetricsAnswer *answer;
	MetricsRun run;
	SavedUser user;
	int level = NewGUCNestLevel();

	check_query(query);
	/* infinity is no bound */
	bounded.has_from &= !TIMESTAMP_IS_NOBEGIN(bounded.from);
	bounded.has_to &= !TIMESTAMP_IS_NOEND(bounded.to);
	/* rows of the rollup are found by an index, whatever the planner knows of the table */
	SetOption("enable_seqscan", "off", GUC_ACTION_SAVE);
	LockEventsTable();
	CurrentPartitionsLoad();
	user = ActAsRollupOwner();
	SPI_connect();
	MemoryContextSwitchTo(context);
	begin_run(&run, &bounded);
	MetricsRunMakeGroups(&run);
	MetricsRunRead(&run);
	answer = MetricsRunAnswer(&run);
	SPI_finish();
	ActAsCallerAgain(user);
	AtEOXact_GUC(true, level);
	MemoryContextSwitchTo(caller);
	return answer;
}
