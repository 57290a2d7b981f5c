/*
 * metrics.c
 *
 * Answers questions: what is asked for (here), its groups (metrics_groups.c), and
 * what is read (metrics_read.c), all in the active snapshot.
 */
#include "postgres.h"

#include "rollup/metrics/metrics.h"

#include "executor/spi.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "db/act_as_owner.h"
#include "db/own_tables.h"
#include "base/compat.h"
#include "event/timestamp.h"
#include "rollup/state/key_limit.h"
#include "rollup/metrics/metrics_private.h"
#include "rollup/state/restored.h"

static pg_noreturn void invalid_parameter(const char *name, const char *value, const char *allowed);

static void
invalid_parameter(const char *name, const char *value, const char *allowed)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("%s \"%s\" is not valid: expected %s", name, value, allowed)));
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
						errmsg("from must be before to: %s is not before %s", from,
							   query->has_to ? timestamptz_to_str(query->to) : "infinity")));
	}
}

/*
 * Where the rollup may have counted what is asked for among others. An ERROR where
 * raw rows are gone, which alone could tell.
 */
static TimeRangeList *
uncertain_spans(const MetricsRun *question)
{
	TimeRangeList *spans = KeyLimitUncertain(question->breakdown, question->event_name,
											 question->key, question->range);
	TimeRangeList range = {0};
	TimeRangeList *gone;

	if (spans->n == 0)
		return spans;
	TimeRangeListAdd(&range, question->range.low, question->range.high);
	gone = TimeRangeListDifference(TimeRangeListIntersection(spans, &range),
								   RawCoverage(GetActiveSnapshot()));
	if (gone->n > 0)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("raw events before %s are needed and have been dropped",
							   timestamptz_to_str(gone->spans[0].high)),
						errdetail("More event_names or keys than are kept apart were counted "
								  "together, and what is asked for may be among them."),
						errhint("Ask for other times. See fast_ingest.max_event_names, and "
								"max_keys of fast_ingest.breakdowns.")));
	return spans;
}

/*
 * What is asked for, with the rollup as the snapshot has it
 */
static void
begin_question(MetricsRun *question, const MetricsQuery *query)
{
	char name[ROLLUP_TEXT_SIZE + 1];
	BreakdownList *breakdowns = BreakdownsRead(GetActiveSnapshot());
	const char *group_by = query->group_by;
	pg_tz *zone;

	memset(question, 0, sizeof(*question));
	question->query = query;
	question->breakdown = BreakdownBuiltIn(breakdowns, BREAKDOWN_CHANNEL);
	if (group_by == NULL)
		question->kind = GROUP_NONE;
	else if (strcmp(group_by, "hour") == 0)
		question->kind = GROUP_HOUR;
	else if (strcmp(group_by, "day") == 0)
		question->kind = GROUP_DAY;
	else
	{
		question->kind = GROUP_KEY;
		question->breakdown = BreakdownByName(breakdowns, group_by);
		if (question->breakdown == NULL)
			invalid_parameter("group_by", group_by,
							  "hour, day, channel, site, page or a breakdown made by "
							  "fi_add_breakdown()");
	}
	zone = CalendarZone(query->timezone ? query->timezone : "UTC");
	if (zone == NULL)
		invalid_parameter("timezone", query->timezone, "a name like UTC or Europe/Istanbul");

	name[RollupText(query->event_name, strlen(query->event_name), name)] = '\0';
	question->event_name = pstrdup(name);
	if (query->channel != NULL)
	{
		name[RollupText(query->channel, strlen(query->channel), name)] = '\0';
		question->key = pstrdup(name);
		question->raw_only = question->breakdown->id != BREAKDOWN_CHANNEL;
	}
	if (question->raw_only)
		question->key = NULL;
	question->range.low = query->has_from ? Max(query->from, TIME_BEGIN) : TIME_BEGIN;
	question->range.high = query->has_to ? Min(query->to, TIME_END) : TIME_END;
	RestoredCheck(RestoredUpTo(), GetActiveSnapshot());
	question->state = RollupStateRead(GetActiveSnapshot());
	question->unknown = TimeRangeListUnion(
		RecountRanges(GetActiveSnapshot(), question->breakdown->id, question->breakdown->finest),
		uncertain_spans(question));
	UnresolvedUsersInit(&question->users, GetActiveSnapshot());
	MetricsRunMakeGroups(question, zone);
}

MetricsAnswer *
MetricsCompute(const MetricsQuery *query)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context =
		AllocSetContextCreate(caller, "fast_ingest answer", ALLOCSET_DEFAULT_SIZES);
	MetricsQuery bounded = *query;
	MetricsAnswer *answer;
	MetricsRun question;
	SavedUser user;
	int level = NewGUCNestLevel();

	check_query(query);
	/* infinity is no bound */
	bounded.has_from &= !TIMESTAMP_IS_NOBEGIN(bounded.from);
	bounded.has_to &= !TIMESTAMP_IS_NOEND(bounded.to);
	(void) set_config_option("enable_seqscan", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
	LockEventsTable();
	user = ActAsRollupOwner();
	SPI_connect();
	MemoryContextSwitchTo(context);
	begin_question(&question, &bounded);
	MetricsRunRead(&question);
	answer = MetricsRunAnswer(&question);
	SPI_finish();
	ActAsCallerAgain(user);
	AtEOXact_GUC(true, level);
	MemoryContextSwitchTo(caller);
	return answer;
}
