/*
 * site_stats.c
 *
 * Computes what one website saw on a UTC day, of all event_names: the views and unique users
 * of the site, and the views of its pages. It reads the breakdowns site and page, each from
 * rows of the rollup and deltas, or from raw rows alone if the rollup cannot tell.
 */
#include "postgres.h"

#include "rollup/metrics/metrics.h"

#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "db/act_as_owner.h"
#include "db/own_tables.h"
#include "rollup/breakdown/rollup_text.h"
#include "rollup/breakdown/scan_events.h"
#include "rollup/delta/delta_read.h"
#include "rollup/metrics/metrics_private.h"
#include "rollup/state/key_limit.h"
#include "rollup/state/recount.h"
#include "rollup/state/restored.h"

typedef struct
{
	const char *scope; /* the site, as the rollup has it */
	TimeRange day;
	GroupCount site;
	UnresolvedUsers users;
	TextMap *paths; /* views by path */
} SiteStats;

static void
add_views(SiteStats *stats, const char *path, int len, int64 views)
{
	bool found;
	TextMapEntry *entry = TextMapAdd(stats->paths, (Slice){path, len}, &found);

	if (!found)
		entry->count = 0;
	entry->count += views;
}

static void
add_site_row(const RollupRow *row, void *arg)
{
	GroupCountAddRow(&((SiteStats *) arg)->site, row->events, row->unique_users, row->users);
}

static void
add_page_row(const RollupRow *row, void *arg)
{
	add_views(arg, row->key, row->key_len, row->events);
}

static void
add_site_delta(const DeltaRow *row, void *arg)
{
	SiteStats *stats = arg;

	if (IsText(row->scope, row->scope_len, stats->scope))
		GroupCountAddDelta(&stats->site, row, &stats->users);
}

static void
add_page_delta(const DeltaRow *row, void *arg)
{
	SiteStats *stats = arg;

	if (IsText(row->scope, row->scope_len, stats->scope))
		add_views(stats, row->key, row->key_len, row->events);
}

static void
add_site_event(const ScannedEvent *event, void *arg)
{
	SiteStats *stats = arg;

	if (IsText(event->scope, event->scope_len, stats->scope))
		GroupCountAddEvent(&stats->site, event, &stats->users);
}

static void
add_page_event(const ScannedEvent *event, void *arg)
{
	SiteStats *stats = arg;

	if (IsText(event->scope, event->scope_len, stats->scope))
		add_views(stats, event->key, event->key_len, 1);
}

static void
require_raw_rows(const SiteStats *stats)
{
	const TimeRangeList *covered = EventsCoverage(stats->users.snapshot);

	for (int i = 0; i < covered->n; i++)
		if (covered->ranges[i].low <= stats->day.low && covered->ranges[i].high >= stats->day.high)
			return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("raw events of %s are needed and have been dropped",
					timestamptz_to_str(stats->day.low)),
			 errdetail("More sites or pages than fast_ingest.breakdowns.max_keys are counted "
					   "together.")));
}

/*
 * Read one of the two breakdowns. Only raw rows tell the numbers of keys that are counted
 * together, and of a day that is to be counted again.
 */
static void
read_breakdown(SiteStats *stats, const Breakdown *breakdown, RollupRowVisitor add_row,
			   DeltaRowVisitor add_delta, ScannedEventVisitor add_event)
{
	if (KeyLimitHasOthers(breakdown, stats->day.low) ||
		TimeRangeListHas(RecountPending(stats->users.snapshot, breakdown->id, breakdown->finest),
						 stats->day.low))
	{
		require_raw_rows(stats);
		ScanEvents(breakdown, NULL, NULL, stats->day, add_event, stats);
		return;
	}
	(void) RollupScopeRows(breakdown->id, stats->scope, stats->day.low, add_row, stats);
	DeltaRows(stats->users.snapshot, breakdown->id, NULL, stats->day, add_delta, stats);
}

static int
compare_paths(const void *a, const void *b)
{
	const StatsPath *left = a;
	const StatsPath *right = b;

	return MetricsCompareKeys(left->views, left->path, right->views, right->path);
}

static StatsAnswer *
make_answer(SiteStats *stats, int max_paths)
{
	StatsAnswer *answer = palloc0(sizeof(StatsAnswer));
	text_map_iterator iterator;
	TextMapEntry *entry;

	answer->total_views = stats->site.events;
	answer->unique_users = GroupCountUniqueUsers(&stats->site);
	answer->paths =
		palloc_extended((stats->paths->members + 1) * sizeof(StatsPath), MCXT_ALLOC_HUGE);
	text_map_start_iterate(stats->paths, &iterator);
	while ((entry = text_map_iterate(stats->paths, &iterator)) != NULL)
		answer->paths[answer->npaths++] = (StatsPath){entry->text.data, entry->count};
	qsort(answer->paths, answer->npaths, sizeof(StatsPath), compare_paths);
	answer->npaths = Min(answer->npaths, max_paths);
	return answer;
}

StatsAnswer *
StatsCompute(const char *site_id, DateADT day, bool totals, int max_paths)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context =
		AllocSetContextCreate(caller, "fast_ingest answer", ALLOCSET_DEFAULT_SIZES);
	char scope[ROLLUP_TEXT_SIZE + 1];
	BreakdownList *breakdowns;
	StatsAnswer *answer;
	SiteStats stats = {0};
	SavedUser user;

	if (site_id[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("site_id is empty: expected the site_id of events")));
	if (DATE_NOT_FINITE(day) || day >= TIMESTAMP_END_JULIAN - POSTGRES_EPOCH_JDATE)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("day is out of range")));

	LockEventsTable();
	user = ActAsRollupOwner();
	SPI_connect();
	MemoryContextSwitchTo(context);
	scope[RollupText(site_id, strlen(site_id), scope)] = '\0';
	stats.scope = scope;
	stats.day.low = (TimestampTz) day * USECS_PER_DAY;
	stats.day.high = stats.day.low + USECS_PER_DAY;
	stats.paths = TextMapCreate(context, 64);
	RestoredCheck(RestoredUpTo(), GetActiveSnapshot());
	UnresolvedUsersInit(&stats.users, GetActiveSnapshot());
	breakdowns = BreakdownsRead(GetActiveSnapshot());
	if (totals)
		read_breakdown(&stats, BreakdownBuiltIn(breakdowns, BREAKDOWN_SITE), add_site_row,
					   add_site_delta, add_site_event);
	if (max_paths > 0)
		read_breakdown(&stats, BreakdownBuiltIn(breakdowns, BREAKDOWN_PAGE), add_page_row,
					   add_page_delta, add_page_event);
	UnresolvedUsersResolve(&stats.users);
	answer = make_answer(&stats, max_paths);
	SPI_finish();
	ActAsCallerAgain(user);
	MemoryContextSwitchTo(caller);
	return answer;
}
