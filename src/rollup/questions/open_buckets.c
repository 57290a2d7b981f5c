/*
 * open_buckets.c
 *
 * fast_ingest.open_buckets(level): the hours or days that the rollup does not have as one
 * finished row for each key, counted. The views metrics_by_hour and metrics_by_day show these
 * beside the finished rows, which SQL finds by the rollup's index.
 *
 * A bucket is open for a breakdown if it is not closed, or if it is touched: by a delta that
 * waits, by a mark to be counted again, or because a key has several rows in it. An open bucket
 * is counted as a whole, as for any other answer (see metrics.c): from rows of the rollup and
 * deltas, or from raw rows where it is marked.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "base/text_map.h"
#include "db/spi.h"
#include "rollup/breakdown/breakdown.h"
#include "rollup/breakdown/scan_events.h"
#include "rollup/delta/delta_rows.h"
#include "rollup/metrics/cover_range.h"
#include "rollup/metrics/metrics_private.h"
#include "rollup/sets/hour_minutes.h"
#include "rollup/state/recount.h"
#include "rollup/state/restored.h"
#include "rollup/state/rollup_state.h"

PG_FUNCTION_INFO_V1(fi_open_buckets);

/*
 * Beginnings of buckets of a level in which keys have several rows. The totals are those of
 * channels, and may have several where no channel has.
 */
#define BUCKETS_OF_PARTS \
	"SELECT DISTINCT bucket FROM fast_ingest.rollup" \
	" WHERE is_part AND level = $2" \
	"  AND (breakdown = $1 OR $1 = 1 AND breakdown IN (0, -1)) ORDER BY bucket"

/* What identifies a group of the result. */
typedef struct
{
	Slice event_name;
	bool is_other_name;
	Slice scope;
	Slice key;
	bool is_other;
} GroupName;

typedef struct
{
	int breakdown;
	TimestampTz bucket;
	GroupName name; /* its texts live as long as the group */
	GroupCount count;
} OpenGroup;

typedef struct
{
	BucketLevel level; /* of the result */
	const Breakdown *breakdown;
	TimeRangeList open;			  /* of the breakdown */
	const TimeRangeList *recount; /* what raw rows are read for: finest buckets */
	const TimeRange *packed;	  /* the minutes that are being read from an hour's row */
	RollupState state;
	UnresolvedUsers users;
	TextMap *groups; /* of all breakdowns: OpenGroups */
	ReturnSetInfo *result;
} OpenBuckets;

static Slice
to_slice(const char *text, int len)
{
	return (Slice){text, len};
}

/*
 * Find or add the group of a breakdown in the bucket that holds a time
 */
static GroupCount *
find_group(OpenBuckets *run, int breakdown, TimestampTz ts, const GroupName *name)
{
	TimestampTz bucket = BucketStart(ts, run->level);
	StringInfoData id;
	TextMapEntry *entry;
	bool found;

	initStringInfo(&id);
	appendStringInfo(&id, "%d " INT64_FORMAT " %d%d %zu %zu ", breakdown, bucket,
					 name->is_other_name, name->is_other, name->event_name.len, name->scope.len);
	appendBinaryStringInfo(&id, name->event_name.data, (int) name->event_name.len);
	appendBinaryStringInfo(&id, name->scope.data, (int) name->scope.len);
	appendBinaryStringInfo(&id, name->key.data, (int) name->key.len);
	entry = TextMapAdd(run->groups, to_slice(id.data, id.len), &found);
	pfree(id.data);
	if (!found)
	{
		OpenGroup *group = palloc0(sizeof(OpenGroup));
		/* the texts are the end of the entry's own */
		const char *texts = entry->text.data + entry->text.len - name->event_name.len -
							name->scope.len - name->key.len;

		group->breakdown = breakdown;
		group->bucket = bucket;
		group->name = *name;
		group->name.event_name.data = texts;
		group->name.scope.data = texts + name->event_name.len;
		group->name.key.data = texts + name->event_name.len + name->scope.len;
		entry->pointer = group;
	}
	return &((OpenGroup *) entry->pointer)->count;
}

/*
 * The groups that a group of the breakdown counts in: its own and, of a channel, the totals of
 * its event_name and of all. Returns how many there are.
 */
static int
find_groups(OpenBuckets *run, TimestampTz ts, const GroupName *name, GroupCount *counts[3])
{
	GroupName total = {.event_name = name->event_name, .is_other_name = name->is_other_name};
	GroupName all = {0};

	total.scope = total.key = all.event_name = all.scope = all.key = to_slice("", 0);
	counts[0] = find_group(run, run->breakdown->id, ts, name);
	if (run->breakdown->id != BREAKDOWN_CHANNEL)
		return 1;
	counts[1] = find_group(run, BREAKDOWN_TOTAL, ts, &total);
	counts[2] = find_group(run, BREAKDOWN_ALL_NAMES, ts, &all);
	return 3;
}

static void
open_bucket(OpenBuckets *run, TimestampTz ts)
{
	TimestampTz low = BucketStart(ts, run->level);

	TimeRangeListAppend(&run->open, low, low + BucketWidth(run->level));
}

/*
 * Count a group of a delta, unless raw rows are read instead, and note that its bucket is open.
 * Days before the breakdown's fine_from have no hours.
 */
static void
add_delta(const DeltaRow *row, void *arg)
{
	OpenBuckets *run = arg;
	GroupName name = {.event_name = to_slice(row->event_name, row->event_name_len),
					  .scope = to_slice(row->scope, row->scope_len),
					  .key = to_slice(row->key, row->key_len)};
	GroupCount *counts[3];
	int n;

	if (run->level < LEVEL_DAY && row->bucket < run->breakdown->fine_from)
		return;
	open_bucket(run, row->bucket);
	if (TimeRangeListHas(run->recount, row->bucket))
		return;
	n = find_groups(run, row->bucket, &name, counts);
	for (int i = 0; i < n; i++)
		GroupCountAddDelta(counts[i], row, &run->users);
}

/*
 * Find the open buckets of the breakdown, and count the deltas in them
 */
static void
find_open_buckets(OpenBuckets *run)
{
	TimestampTz closed = run->level == LEVEL_DAY ? run->state.days_closed : run->state.hours_closed;
	DeltaSelection deltas = {.breakdown = run->breakdown->id, .range = {TIME_BEGIN, TIME_END}};
	Oid types[] = {INT2OID, INT2OID};
	Datum values[] = {Int16GetDatum(run->breakdown->id), Int16GetDatum((int16) run->level)};
	const TimeRangeList *marked = TimeRangeListWholeBuckets(run->recount, run->level);

	run->open = (TimeRangeList){0};
	UnresolvedUsersOfDeltas(&run->users, &deltas, add_delta, run);
	for (int i = 0; i < marked->n; i++)
		TimeRangeListAppend(&run->open, marked->ranges[i].low, marked->ranges[i].high);
	(void) SpiSelect(BUCKETS_OF_PARTS, 0, lengthof(types), types, values);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool isnull;

		open_bucket(run, DatumGetTimestampTz(SPI_getbinval(SPI_tuptable->vals[i],
														   SPI_tuptable->tupdesc, 1, &isnull)));
	}
	SPI_freetuptable(SPI_tuptable);
	/* rows of the finest level are never made from others */
	if (run->breakdown->finest < run->level)
		TimeRangeListAppend(&run->open, closed, TIME_END);
	TimeRangeListJoin(&run->open);
	if (run->level < LEVEL_DAY)
	{
		TimeRange kept = {run->breakdown->fine_from, TIME_END};

		run->open = *TimeRangeListIntersection(&run->open, &(TimeRangeList){1, 1, &kept});
	}
}

/*
 * Add a row of the rollup: all of it, or some minutes of a closed hour
 */
static void
add_row(const RollupRow *row, void *arg)
{
	OpenBuckets *run = arg;
	GroupName name = {.event_name =
						  to_slice(row->event_name ? row->event_name : "", row->event_name_len),
					  .is_other_name = row->event_name == NULL,
					  .scope = to_slice(row->scope, row->scope_len),
					  .key = to_slice(row->key ? row->key : "", row->key_len),
					  .is_other = row->key == NULL};
	GroupCount *counts[3];
	int n = find_groups(run, row->bucket, &name, counts);

	for (int i = 0; i < n; i++)
	{
		if (run->packed == NULL)
			GroupCountAddRow(counts[i], row->events, row->unique_users, row->users);
		else
			HourMinutesSum(row->users, row->minutes,
						   (int) ((run->packed->low - row->bucket) / USECS_PER_MINUTE),
						   (int) ((run->packed->high - row->bucket) / USECS_PER_MINUTE),
						   &counts[i]->events, GroupCountUsers(counts[i]));
	}
}

static void
add_event(const ScannedEvent *event, void *arg)
{
	OpenBuckets *run = arg;
	GroupName name = {.event_name = to_slice(event->event_name, event->event_name_len),
					  .scope = to_slice(event->scope, event->scope_len),
					  .key = to_slice(event->key, event->key_len)};
	GroupCount *counts[3];
	int n = find_groups(run, event->ts, &name, counts);

	for (int i = 0; i < n; i++)
		GroupCountAddEvent(counts[i], event, &run->users);
}

/*
 * Count the open buckets of the breakdown
 */
static void
count_open_buckets(OpenBuckets *run)
{
	RangeCover cover = {0};
	RollupSelection rows = {.breakdown = run->breakdown->id};
	RollupState state = run->state;

	/* several hours must not be read from the row of a day */
	if (run->level < LEVEL_DAY)
		state.days_closed = TIME_BEGIN;
	find_open_buckets(run);
	for (int i = 0; i < run->open.n; i++)
		RangeCoverAdd(&cover, run->open.ranges[i].low, run->open.ranges[i].high, run->breakdown,
					  &state, run->recount);
	(void) RollupRowsOfLevel(&rows, LEVEL_DAY, &cover.days, add_row, run);
	(void) RollupRowsOfLevel(&rows, LEVEL_HOUR, &cover.hours, add_row, run);
	(void) RollupRowsOfLevel(&rows, LEVEL_MINUTE, &cover.minutes, add_row, run);
	rows.level = LEVEL_HOUR;
	for (int i = 0; i < cover.packed.n; i++)
	{
		TimestampTz hour = BucketStart(cover.packed.ranges[i].low, LEVEL_HOUR);

		run->packed = &cover.packed.ranges[i];
		rows.range = (TimeRange){hour, hour + 1};
		(void) RollupRows(&rows, add_row, run);
	}
	run->packed = NULL;
	for (int i = 0; i < cover.raw.n; i++)
	{
		EventSelection selection = {.range = cover.raw.ranges[i]};

		ScanEvents(run->breakdown, &selection, add_event, run);
	}
}

enum
{
	OPEN_BREAKDOWN,
	OPEN_SINCE,
	OPEN_UNTIL,
	OPEN_EVENT_NAME,
	OPEN_SITE_ID,
	OPEN_KEY,
	OPEN_EVENTS,
	OPEN_USERS,
	NUM_OPEN_COLUMNS
};

static void
put_row(OpenBuckets *run, int breakdown, TimeRange range, const OpenGroup *group)
{
	Datum values[NUM_OPEN_COLUMNS] = {0};
	bool isnull[NUM_OPEN_COLUMNS] = {0};

	values[OPEN_BREAKDOWN] = Int16GetDatum((int16) breakdown);
	TimeRangeToColumns(range, &values[OPEN_SINCE]);
	isnull[OPEN_EVENT_NAME] = isnull[OPEN_SITE_ID] = isnull[OPEN_KEY] = true;
	if (group != NULL)
	{
		const GroupName *name = &group->name;
		const Slice texts[] = {name->event_name, name->scope, name->key};
		/* what is counted together, and what a total has none of, is NULL */
		bool is_total = breakdown == BREAKDOWN_TOTAL || breakdown == BREAKDOWN_ALL_NAMES;

		isnull[OPEN_EVENT_NAME] = name->is_other_name || breakdown == BREAKDOWN_ALL_NAMES;
		isnull[OPEN_SITE_ID] = name->scope.len == 0;
		isnull[OPEN_KEY] = name->is_other || is_total;
		for (int i = 0; i < (int) lengthof(texts); i++)
			values[OPEN_EVENT_NAME + i] =
				PointerGetDatum(cstring_to_text_with_len(texts[i].data, (int) texts[i].len));
		values[OPEN_EVENTS] = Int64GetDatum(group->count.events);
		values[OPEN_USERS] = Int64GetDatum(GroupCountUniqueUsers((GroupCount *) &group->count));
	}
	tuplestore_putvalues(run->result->setResult, run->result->setDesc, values, isnull);
}

/*
 * Put the ranges of the breakdown's open buckets, which have no events
 */
static void
put_ranges(OpenBuckets *run)
{
	static const int of_channels[] = {BREAKDOWN_CHANNEL, BREAKDOWN_TOTAL, BREAKDOWN_ALL_NAMES};

	for (int i = 0; i < run->open.n; i++)
	{
		if (run->breakdown->id != BREAKDOWN_CHANNEL)
			put_row(run, run->breakdown->id, run->open.ranges[i], NULL);
		else
			for (int j = 0; j < (int) lengthof(of_channels); j++)
				put_row(run, of_channels[j], run->open.ranges[i], NULL);
	}
}

static void
put_groups(OpenBuckets *run)
{
	text_map_iterator iterator;
	TextMapEntry *entry;

	UnresolvedUsersResolve(&run->users);
	text_map_start_iterate(run->groups, &iterator);
	while ((entry = text_map_iterate(run->groups, &iterator)) != NULL)
	{
		const OpenGroup *group = entry->pointer;

		if (group->count.events > 0)
			put_row(run, group->breakdown,
					(TimeRange){group->bucket, group->bucket + BucketWidth(run->level)}, group);
	}
}

static BucketLevel
read_level(int16 level)
{
	if (level != LEVEL_HOUR && level != LEVEL_DAY)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("level %d is not valid: expected 2 (hour) or 3 (day)", level)));
	return level;
}

/*
 * open_buckets(level smallint)
 */
Datum
fi_open_buckets(PG_FUNCTION_ARGS)
{
	OpenBuckets run = {.level = read_level(PG_GETARG_INT16(0)),
					   .result = (ReturnSetInfo *) fcinfo->resultinfo};
	Snapshot snapshot = GetActiveSnapshot();
	MetricsSession session;
	BreakdownList *breakdowns;

	InitMaterializedSRF(fcinfo, 0);
	MetricsSessionBegin(&session);
	RestoredCheck(RestoredUpTo(), snapshot);
	(void) RollupStateRead(snapshot, &run.state);
	UnresolvedUsersInit(&run.users, snapshot, &run.state, false);
	run.groups = TextMapCreate(CurrentMemoryContext, 256);
	breakdowns = BreakdownsRead(snapshot, run.state.days_closed);
	for (int i = 0; i < breakdowns->n; i++)
	{
		run.breakdown = &breakdowns->items[i];
		if (run.breakdown->finest > run.level)
			continue;
		run.recount = RecountRanges(snapshot, run.breakdown);
		count_open_buckets(&run);
		put_ranges(&run);
	}
	put_groups(&run);
	MetricsSessionEnd(&session);
	return (Datum) 0;
}
