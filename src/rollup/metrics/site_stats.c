/*
 * site_stats.c
 *
 * What one website saw on a UTC day: the site's rows and the pages' rows of its
 * scope, of all event_names, with deltas and, where the day is dirty, raw rows.
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
#include "base/text_slice.h"
#include "rollup/state/key_limit.h"
#include "rollup/metrics/scan_events.h"
#include "rollup/state/restored.h"
#include "rollup/metrics/read_rollup.h"
#include "rollup/metrics/group_count.h"
#include "base/text_map.h"

typedef struct
{
	const char *scope;
	TimeRange day;
	GroupCount site;
	UnresolvedUsers users;
	TextMap *paths;
} Stats;

static void
count_path(Stats *stats, const char *path, int len, int64 views)
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
	GroupCountAddRow(&((Stats *) arg)->site, row->events, row->unique_users, row->users);
}

static void
add_page_row(const RollupRow *row, void *arg)
{
	count_path(arg, row->key, row->key_len, row->events);
}

static void
add_site_delta(const DeltaRow *row, void *arg)
{
	Stats *stats = arg;

	if (!IsText(row->scope, row->scope_len, stats->scope))
		return;
	stats->site.events += row->events;
	(void) GroupCountUsers(&stats->site);
	for (int i = 0; i < row->nusers; i++)
		UnresolvedUsersAdd(&stats->users, &stats->site, row->hashes[row->users[i]]);
}

static void
add_page_delta(const DeltaRow *row, void *arg)
{
	Stats *stats = arg;

	if (IsText(row->scope, row->scope_len, stats->scope))
		count_path(stats, row->key, row->key_len, row->events);
}

static void
add_site_raw(const ScannedEvent *row, void *arg)
{
	Stats *stats = arg;

	if (!IsText(row->scope, row->scope_len, stats->scope))
		return;
	stats->site.events++;
	(void) GroupCountUsers(&stats->site);
	if (row->has_user)
		UnresolvedUsersAdd(&stats->users, &stats->site, row->user);
}

static void
add_page_raw(const ScannedEvent *row, void *arg)
{
	Stats *stats = arg;

	if (IsText(row->scope, row->scope_len, stats->scope))
		count_path(stats, row->key, row->key_len, 1);
}

static void
require_rows(const Stats *stats)
{
	const TimeRangeList *covered = RawCoverage(stats->users.snapshot);

	for (int i = 0; i < covered->n; i++)
		if (covered->spans[i].low <= stats->day.low && covered->spans[i].high >= stats->day.high)
			return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("raw events of %s are needed and have been dropped",
					timestamptz_to_str(stats->day.low)),
			 errdetail("More sites or pages than fast_ingest.breakdowns.max_keys are counted "
					   "together.")));
}

/*
 * Read one of the two breakdowns
 */
static void
read_breakdown(Stats *stats, const Breakdown *breakdown, RollupRowVisitor add_row,
			   DeltaRowVisitor add_delta, RawRowVisitor add_raw)
{
	/* what is counted with others is known of raw rows only */
	if (KeyLimitHasOthers(breakdown, stats->day.low) ||
		TimeRangeListHas(RecountRanges(stats->users.snapshot, breakdown->id, breakdown->finest),
						 stats->day.low))
	{
		require_rows(stats);
		ScanEvents(breakdown, NULL, NULL, stats->day, add_raw, stats);
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

	if (left->views != right->views)
		return left->views > right->views ? -1 : 1;
	return strcmp(left->path, right->path);
}

static StatsAnswer *
make_answer(Stats *stats, int max_paths)
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
StatsCompute(const char *site_id, DateADT date, int max_paths)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context =
		AllocSetContextCreate(caller, "fast_ingest answer", ALLOCSET_DEFAULT_SIZES);
	char scope[ROLLUP_TEXT_SIZE + 1];
	BreakdownList *breakdowns;
	StatsAnswer *answer;
	Stats stats = {0};
	SavedUser user;

	if (site_id[0] == '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("site_id is empty: expected the site_id of events")));
	if (max_paths < 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("max_paths %d is not valid: expected at least 1", max_paths)));
	if (DATE_NOT_FINITE(date) || date >= TIMESTAMP_END_JULIAN - POSTGRES_EPOCH_JDATE)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("date is out of range")));

	LockEventsTable();
	user = ActAsRollupOwner();
	SPI_connect();
	MemoryContextSwitchTo(context);
	scope[RollupText(site_id, strlen(site_id), scope)] = '\0';
	stats.scope = scope;
	stats.day.low = (TimestampTz) date * USECS_PER_DAY;
	stats.day.high = stats.day.low + USECS_PER_DAY;
	stats.paths = TextMapCreate(context, 64);
	RestoredCheck(RestoredUpTo(), GetActiveSnapshot());
	UnresolvedUsersInit(&stats.users, GetActiveSnapshot());
	breakdowns = BreakdownsRead(GetActiveSnapshot());
	read_breakdown(&stats, BreakdownBuiltIn(breakdowns, BREAKDOWN_SITE), add_site_row,
				   add_site_delta, add_site_raw);
	read_breakdown(&stats, BreakdownBuiltIn(breakdowns, BREAKDOWN_PAGE), add_page_row,
				   add_page_delta, add_page_raw);
	UnresolvedUsersResolve(&stats.users);
	answer = make_answer(&stats, max_paths);
	SPI_finish();
	ActAsCallerAgain(user);
	MemoryContextSwitchTo(caller);
	return answer;
}
