/*
 * alter_breakdown.c
 *
 * fi_alter_breakdown(): changes the levels, the limit of keys and the age of fine rows of a
 * breakdown, and what the rollup has of it.
 *
 * Coarser levels are made from the rows there are. Finer ones are counted again, from the first
 * day after the last one of which events are lost; days before it keep rows of days only. Days
 * that have no finer rows get none when fine_days grows: fine_since says so.
 *
 * Deltas that wait have buckets of the width that was. A refresh rounds them to coarser ones; where
 * they are too coarse, everything is marked to be counted again, and they are skipped.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "db/spi.h"
#include "rollup/breakdown/breakdown_buckets.h"
#include "rollup/changes/breakdown_admin.h"
#include "rollup/refresh/fine_rows.h"
#include "rollup/refresh/refresh.h"
#include "rollup/state/lost_rows.h"
#include "rollup/state/recount.h"
#include "rollup/state/refresh_lock.h"
#include "rollup/state/restored.h"
#include "rollup/state/rollup_state.h"

PG_FUNCTION_INFO_V1(fi_alter_breakdown);

/* Arguments. */
enum
{
	ALTER_NAME,
	ALTER_LEVELS,
	ALTER_MAX_KEYS,
	ALTER_FINE_DAYS
};

/*
 * The breakdown to change. An ERROR if there is none of that name (42704), or if it is that of
 * channels (55000), of which all totals are made.
 */
static const Breakdown *
find_breakdown(const char *name, TimestampTz days_closed)
{
	const Breakdown *breakdown =
		BreakdownByName(BreakdownsRead(GetActiveSnapshot(), days_closed), name);

	if (breakdown == NULL)
		ereport(ERROR, (errcode(ERRCODE_UNDEFINED_OBJECT),
						errmsg("breakdown \"%s\" does not exist", name)));
	if (breakdown->id == BREAKDOWN_CHANNEL)
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("breakdown \"%s\" cannot be changed", name),
						errdetail("All totals are made of its rows.")));
	return breakdown;
}

/*
 * The first day after all of which events are lost
 */
static TimestampTz
find_end_of_lost_days(void)
{
	const TimeRangeList *lost = LostRowsRanges(GetActiveSnapshot());

	return lost->n == 0 ? TIME_BEGIN : BucketEnd(lost->ranges[lost->n - 1].high, LEVEL_DAY);
}

/*
 * Have the rows of finer buckets counted, and keep rows of days where that is impossible
 */
static void
refine_rows(const Breakdown *before, Breakdown *after, TimestampTz days_closed)
{
	after->fine_since = find_end_of_lost_days();
	after->fine_from = BreakdownFineFrom(after, days_closed);
	if (before->finest < LEVEL_DAY && after->fine_from > Max(days_closed, before->fine_from))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("breakdown \"%s\" cannot get finer levels before %s", before->name,
						timestamptz_to_str(after->fine_from)),
				 errdetail("Events of that time were dropped, and their day is not closed.")));
	FineRowsDrop(before, (TimeRange){before->fine_from, after->fine_from});
	FineRowsForget(before, after->fine_from);
	RecountMark(after->fine_from, TIME_END, after->id);
}

/*
 * Make rows of coarser buckets of those there are, and delete those that are no longer kept
 */
static void
coarsen_rows(const Breakdown *before, Breakdown *after, TimestampTz days_closed)
{
	TimeRange open = {Max(days_closed, before->fine_from), TIME_END};

	if (after->finest == LEVEL_DAY)
	{
		if (before->finest < LEVEL_DAY)
			FineRowsToDays(before, open);
		FineRowsDrop(before, (TimeRange){before->fine_from, TIME_END});
		return;
	}
	if (before->finest == LEVEL_MINUTE && after->finest == LEVEL_HOUR)
		FineRowsToHours(before);
	after->fine_from = BreakdownFineFrom(after, days_closed);
	if (after->fine_from < before->fine_from)
		after->fine_since = after->fine_from = before->fine_from;
	FineRowsDrop(before, (TimeRange){before->fine_from, after->fine_from});
}

static void
update_breakdown(const Breakdown *breakdown)
{
	Oid types[] = {INT2OID, INT2OID, BOOLOID, INT4OID, INT4OID, TIMESTAMPTZOID};
	Datum values[lengthof(types)];

	values[0] = Int16GetDatum(breakdown->id);
	values[1] = Int16GetDatum((int16) breakdown->finest);
	values[2] =
		BoolGetDatum(breakdown->finest == LEVEL_MINUTE && breakdown->width == QUARTER_WIDTH);
	values[3] = Int32GetDatum(breakdown->max_keys);
	values[4] = Int32GetDatum(breakdown->fine_days);
	values[5] = TimestampTzGetDatum(breakdown->fine_since <= TIME_BEGIN ? DT_NOBEGIN
																		: breakdown->fine_since);
	(void) SpiRunWith("UPDATE fast_ingest.breakdowns SET finest = $2, quarters = $3, max_keys = $4,"
					  " fine_days = $5, fine_from = $6, is_altered = true WHERE id = $1",
					  SPI_OK_UPDATE, lengthof(types), types, values);
}

/*
 * fi_alter_breakdown(name text, levels text[], max_keys integer, fine_days integer): NULL leaves
 * a property as it is
 */
Datum
fi_alter_breakdown(PG_FUNCTION_ARGS)
{
	char *name;
	const Breakdown *before;
	Breakdown after;
	RollupState state;
	int level;
	int64 restored;

	BreakdownRequireArgument(fcinfo, ALTER_NAME, "name");
	name = text_to_cstring(PG_GETARG_TEXT_PP(ALTER_NAME));
	/* a refresh under way would write rows of the levels that were; see fi_drop_breakdown() */
	RefreshLock();
	BreakdownsLock();
	restored = RestoredUpTo();
	SPI_connect();
	PushActiveSnapshot(GetLatestSnapshot());
	RestoredCheck(restored, GetActiveSnapshot());
	(void) RollupStateRead(GetActiveSnapshot(), &state);
	before = find_breakdown(name, state.days_closed);
	after = *before;
	if (!PG_ARGISNULL(ALTER_LEVELS))
	{
		after.width = BreakdownWidthOfLevels(PG_GETARG_ARRAYTYPE_P(ALTER_LEVELS));
		after.finest = BreakdownLevelOfWidth(after.width);
	}
	if (!PG_ARGISNULL(ALTER_MAX_KEYS))
		after.max_keys = BreakdownNumberArgument(fcinfo, ALTER_MAX_KEYS, "max_keys", 1);
	if (!PG_ARGISNULL(ALTER_FINE_DAYS))
		after.fine_days = BreakdownNumberArgument(fcinfo, ALTER_FINE_DAYS, "fine_days", 0);

	level = NewGUCNestLevel();
	RefreshRestrictPlanner();
	if (after.width < before->width)
		refine_rows(before, &after, state.days_closed);
	else
		coarsen_rows(before, &after, state.days_closed);
	update_breakdown(&after);
	AtEOXact_GUC(true, level);
	PopActiveSnapshot();
	SPI_finish();
	PG_RETURN_VOID();
}
