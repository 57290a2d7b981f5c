/*
 * event_times.c
 *
 * Finds the first and the last event of each name in three steps, each for all names:
 *
 *     buckets    the index of the rollup tells the first and last bucket of a name. Its deltas,
 *                rows of parts of minutes, and raw rows where a run reads them tell the times;
 *     rows       the row of a closed hour tells in which of its minutes there were events. Where
 *                it or that of a minute of an open hour has the times of events, it tells these;
 *     events     where rows have no times, the raw rows of the bucket tell them. Where these are
 *                gone, too, it is the beginning of the bucket.
 *
 * The rows of the rollup are of buckets that do not overlap, so their beginnings tell which is
 * first.
 */
#include "postgres.h"

#include "rollup/questions/event_times.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "db/spi.h"
#include "rollup/breakdown/breakdown_buckets.h"
#include "rollup/delta/delta_rows.h"
#include "rollup/metrics/cover_range.h"
#include "rollup/metrics/seen_times.h"
#include "rollup/state/recount.h"

typedef struct
{
	SeenTimes seen;
	TimeRange unread[LEVEL_HOUR + 1]; /* the first and the last row of a level, if it may tell more
									   * than its bucket */
} NameTimes;

typedef struct
{
	MetricsRun *run;
	TextMap *names; /* NameTimes */
	NameTimes others;
	BucketLevel level; /* of the rows that are being read */
	TimeRange range;   /* of which they are being read */
} Search;

#define FIRST_AND_LAST \
	"SELECT n.name," \
	" (SELECT min(r.bucket) FROM fast_ingest.rollup AS r WHERE " OF_NAME ")," \
	" (SELECT max(r.bucket) FROM fast_ingest.rollup AS r WHERE " OF_NAME ")" \
	" FROM unnest($3) AS n (name)"
#define OF_NAME \
	"r.breakdown = $1 AND r.level = $2 AND r.event_name = coalesce(n.name, '')" \
	" AND r.is_other_name = (n.name IS NULL) AND r.bucket >= $4 AND r.bucket < $5"

static NameTimes
make_times(void)
{
	NameTimes times = {.seen = SeenTimesNone()};

	for (int level = LEVEL_MINUTE; level <= LEVEL_HOUR; level++)
		times.unread[level] = (TimeRange){DT_NOEND, DT_NOBEGIN};
	return times;
}

/*
 * The times of a name that is looked for; NULL for any other
 */
static NameTimes *
find_times(Search *search, const char *name, int len)
{
	TextMapEntry *entry;

	if (name == NULL)
		return &search->others;
	entry = text_map_lookup(search->names, (Slice){name, len});
	return entry ? entry->pointer : NULL;
}

/*
 * Do rows of the level tell more than that there were events in the bucket?
 */
static bool
tells_more(const Search *search)
{
	const Breakdown *breakdown = search->run->breakdown;

	return search->level == LEVEL_HOUR	   ? breakdown->finest == LEVEL_MINUTE
		   : search->level == LEVEL_MINUTE ? breakdown->keeps_times
										   : false;
}

/*
 * Add the first and the last bucket of a level that a name has rows of
 */
static void
add_buckets(Search *search, NameTimes *times, TimestampTz first, TimestampTz last)
{
	int64 width =
		search->level == LEVEL_MINUTE ? search->run->breakdown->width : BucketWidth(search->level);

	if (tells_more(search))
	{
		TimeRange *unread = &times->unread[search->level];

		unread->low = Min(unread->low, first);
		unread->high = Max(unread->high, last);
		return;
	}
	SeenTimesAddBucket(&times->seen, first, width);
	SeenTimesAddBucket(&times->seen, last, width);
}

static void
add_row(const RollupRow *row, void *arg)
{
	Search *search = arg;
	NameTimes *times = find_times(search, row->event_name, row->event_name_len);

	if (times != NULL)
		add_buckets(search, times, row->bucket, row->bucket);
}

/*
 * Add what a row tells of events in the range
 */
static void
add_events(const RollupRow *row, void *arg)
{
	Search *search = arg;
	NameTimes *times = find_times(search, row->event_name, row->event_name_len);

	if (times != NULL)
		SeenTimesAddRow(&times->seen, search->run->breakdown, search->level, row, search->range);
}

/*
 * Add the events of a delta that are in the range, or its bucket if it has no times
 */
static void
add_delta(const DeltaRow *row, void *arg)
{
	Search *search = arg;
	MetricsRun *run = search->run;
	NameTimes *times = find_times(search, row->event_name, row->event_name_len);
	/* the delta's buckets may be finer than those of the rollup are */
	TimestampTz start = BreakdownBucketStart(run->breakdown, row->bucket);
	int64 width = BreakdownWidth(run->breakdown, row->bucket);

	if (times == NULL || TimeRangeListHas(run->raw_ranges, row->bucket) ||
		!MetricsRunHasTarget(run, row))
		return;
	if (row->offsets == NULL)
	{
		if (start >= run->range.low && start + width <= run->range.high)
			SeenTimesAddBucket(&times->seen, start, width);
		return;
	}
	for (int i = 0; i < row->events; i++)
	{
		TimestampTz ts = row->bucket + row->offsets[i];

		if (ts >= run->range.low && ts < run->range.high)
			SeenTimesAdd(&times->seen, ts, ts);
	}
}

static void
add_event(const ScannedEvent *event, void *arg)
{
	Search *search = arg;
	NameTimes *times = find_times(search, event->event_name, event->event_name_len);

	search->run->sources.raw_rows++;
	if (times != NULL)
		SeenTimesAdd(&times->seen, event->ts, event->ts);
}

static void
scan_events(Search *search, TimeRange range, ScannedEventVisitor visitor)
{
	MetricsRun *run = search->run;
	EventSelection selection = {run->query->event_name, run->nconditions, run->conditions, range};

	ScanEvents(NULL, &selection, visitor, search);
}

/*
 * The names that are looked for as an array of text; NULL stands for names that are counted
 * together
 */
static Datum
make_names_array(Search *search)
{
	int n = 0;
	Datum *texts = palloc((search->names->members + 1) * sizeof(Datum));
	bool *isnull = palloc0((search->names->members + 1) * sizeof(bool));
	text_map_iterator iterator;
	TextMapEntry *entry;
	int lower_bound = 1;

	text_map_start_iterate(search->names, &iterator);
	while ((entry = text_map_iterate(search->names, &iterator)) != NULL)
		texts[n++] = PointerGetDatum(cstring_to_text_with_len(entry->text.data, entry->text.len));
	texts[n] = (Datum) 0;
	isnull[n++] = true;
	return PointerGetDatum(
		construct_md_array(texts, isnull, 1, &n, &lower_bound, TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * Ask the index for the first and the last bucket of each name, whatever the keys
 */
static void
probe_buckets(Search *search, TimeRange range)
{
	static SPIPlanPtr plan = NULL;
	Oid types[] = {INT2OID, INT2OID, TEXTARRAYOID, TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum values[] = {Int16GetDatum(search->run->breakdown->id), Int16GetDatum(search->level),
					  make_names_array(search), TimestampTzGetDatum(range.low),
					  TimestampTzGetDatum(range.high)};

	if (plan == NULL)
		plan = SpiPrepare(FIRST_AND_LAST, lengthof(types), types, CURSOR_OPT_GENERIC_PLAN);
	(void) SpiSelectPlan(plan, values);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple tuple = SPI_tuptable->vals[i];
		TupleDesc desc = SPI_tuptable->tupdesc;
		char *name = SPI_getvalue(tuple, desc, 1);
		bool isnull;
		Datum first = SPI_getbinval(tuple, desc, 2, &isnull);
		Datum last = SPI_getbinval(tuple, desc, 3, &isnull);

		if (!isnull)
			add_buckets(search, find_times(search, name, name ? (int) strlen(name) : 0),
						DatumGetTimestampTz(first), DatumGetTimestampTz(last));
	}
	SPI_freetuptable(SPI_tuptable);
}

/*
 * Read the rows of a level, of one name if given, that the run's targets have
 */
static void
read_rows(Search *search, const char *event_name, TimeRange range, RollupRowVisitor visitor)
{
	MetricsRun *run = search->run;
	RollupSelection rows = {.breakdown = run->breakdown->id,
							.level = search->level,
							.event_name = event_name,
							.range = range};

	for (int i = 0; i < Max(run->ntargets, 1); i++)
	{
		if (run->ntargets > 0)
		{
			rows.scope = run->targets[i].scope;
			rows.key = run->targets[i].key;
		}
		(void) RollupRows(&rows, visitor, search);
	}
}

static void
search_level(Search *search, BucketLevel level, TimeRange range)
{
	search->level = level;
	if (range.low >= range.high)
		return;
	if (search->run->ntargets == 0)
		probe_buckets(search, range);
	else
		read_rows(search, NULL, range, add_row);
}

/*
 * Read the minutes of the closed hours that a range of minutes begins and ends in
 */
static void
search_cut_hours(Search *search, TimeRange range)
{
	TimestampTz begin = BucketStart(range.low, LEVEL_HOUR);
	TimestampTz end = BucketStart(range.high, LEVEL_HOUR);

	search->level = LEVEL_HOUR;
	search->range = range;
	if (begin < range.low)
		read_rows(search, NULL, (TimeRange){begin, begin + 1}, add_events);
	if (end < range.high && (end > begin || begin == range.low))
		read_rows(search, NULL, (TimeRange){end, end + 1}, add_events);
}

/*
 * Search whole buckets that the rollup answers
 */
static void
search_buckets(Search *search, TimeRange range)
{
	const Breakdown *breakdown = search->run->breakdown;
	TimestampTz fine = Min(Max(breakdown->fine_from, range.low), range.high);

	search_level(search, LEVEL_DAY, (TimeRange){range.low, fine});
	range.low = fine;
	if (breakdown->finest != LEVEL_MINUTE)
	{
		search_level(search, breakdown->finest, range);
		return;
	}
	search_cut_hours(search, range);
	search_level(
		search, LEVEL_HOUR,
		(TimeRange){BucketEnd(range.low, LEVEL_HOUR), BucketStart(range.high, LEVEL_HOUR)});
	search_level(search, LEVEL_MINUTE, range);
}

/*
 * Read the parts of minutes that the range begins and ends with
 */
static void
search_cuts(Search *search, const TimeRangeList *cuts)
{
	for (int i = 0; i < cuts->n; i++)
	{
		TimestampTz bucket;

		search->range = cuts->ranges[i];
		search->level =
			search->range.low < search->run->state.hours_closed ? LEVEL_HOUR : LEVEL_MINUTE;
		bucket = BucketStart(search->range.low, search->level);
		read_rows(search, NULL, (TimeRange){bucket, bucket + 1}, add_events);
	}
}

/*
 * Read the first row of a level, if what is known is later
 */
static void
read_first(Search *search, const char *event_name, NameTimes *times, BucketLevel level)
{
	TimeRange *unread = &times->unread[level];

	if (unread->low >= Min(times->seen.first, times->seen.first_bucket.ts))
		return;
	search->level = level;
	read_rows(search, event_name, (TimeRange){unread->low, unread->low + 1}, add_events);
	/* a row tells both */
	if (unread->high == unread->low)
		unread->high = DT_NOBEGIN;
}

static void
read_last(Search *search, const char *event_name, NameTimes *times, BucketLevel level)
{
	TimestampTz high = times->unread[level].high;

	if (high == DT_NOBEGIN ||
		high + BucketWidth(level) <= Max(times->seen.last, times->seen.last_bucket.ts))
		return;
	search->level = level;
	read_rows(search, event_name, (TimeRange){high, high + 1}, add_events);
}

/*
 * Read what the first and the last row of a name tell. Minutes are later than closed hours.
 */
static void
search_rows(Search *search, const char *event_name, NameTimes *times)
{
	search->range = search->run->range;
	read_first(search, event_name, times, LEVEL_HOUR);
	read_first(search, event_name, times, LEVEL_MINUTE);
	read_last(search, event_name, times, LEVEL_MINUTE);
	read_last(search, event_name, times, LEVEL_HOUR);
}

/*
 * Take the time of an event that is in the first or last bucket of its name that has no times
 */
static void
take_time(const ScannedEvent *event, void *arg)
{
	Search *search = arg;
	NameTimes *times = find_times(search, event->event_name, event->event_name_len);

	search->run->sources.raw_rows++;
	if (times != NULL)
		SeenTimesAddRaw(&times->seen, event->ts);
}

/*
 * Find the times of events in buckets that may have the first or the last one, where raw rows are
 * there
 */
static void
search_events(Search *search)
{
	TimeRangeList buckets = {0};
	TimeRangeList *there;
	text_map_iterator iterator;
	TextMapEntry *entry;

	text_map_start_iterate(search->names, &iterator);
	while ((entry = text_map_iterate(search->names, &iterator)) != NULL)
		SeenTimesUnknown(&((const NameTimes *) entry->pointer)->seen, &buckets);
	TimeRangeListJoin(&buckets);
	there = TimeRangeListIntersection(&buckets, EventsCoverage(search->run->users.snapshot));
	for (int i = 0; i < there->n; i++)
		scan_events(search, there->ranges[i], take_time);
}

/*
 * Search everything that the run was answered from
 */
static void
search_range(Search *search)
{
	MetricsRun *run = search->run;
	RangeCover cover = {.has_times = run->breakdown->keeps_times};
	const TimeRangeList *known;
	/* a bucket that the range cuts begins before it */
	DeltaSelection deltas = {
		.breakdown = run->breakdown->id,
		.range = {BreakdownBucketStart(run->breakdown, run->range.low), run->range.high}};

	if (run->all_raw)
	{
		scan_events(search, run->range, add_event);
		return;
	}
	MetricsRunCover(run, run->range, &cover);
	for (int i = 0; i < cover.raw.n; i++)
		scan_events(search, cover.raw.ranges[i], add_event);
	DeltaRows(run->users.snapshot, NULL, &deltas, add_delta, search);
	known = TimeRangeListUnion(TimeRangeListUnion(&cover.days, &cover.hours),
							   TimeRangeListUnion(&cover.packed, &cover.minutes));
	for (int i = 0; i < known->n; i++)
		search_buckets(search, known->ranges[i]);
	search_cuts(search, &cover.cut);
}

void
EventTimesFind(MetricsRun *run, EventTimes *names, int n)
{
	Search search = {
		.run = run, .names = TextMapCreate(CurrentMemoryContext, 64), .others = make_times()};
	NameTimes *all = palloc_extended(Max(n, 1) * sizeof(NameTimes), MCXT_ALLOC_HUGE);

	for (int i = 0; i < n; i++)
	{
		const char *name = names[i].name;
		bool found;

		all[i] = make_times();
		if (name != NULL)
			TextMapAdd(search.names, (Slice){name, (int) strlen(name)}, &found)->pointer = &all[i];
	}
	search_range(&search);
	for (int i = 0; i < n; i++)
		search_rows(&search, names[i].name, names[i].name ? &all[i] : &search.others);
	search_events(&search);
	for (int i = 0; i < n; i++)
	{
		const NameTimes *times = names[i].name ? &all[i] : &search.others;

		names[i].first = SeenTimesFirst(&times->seen);
		names[i].last = SeenTimesLast(&times->seen);
	}
}
