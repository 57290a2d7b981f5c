/*
 * metrics.c
 *
 * Answers questions. All that is read is read in the active snapshot: rows of
 * the rollup, deltas not merged yet, and raw rows where a range cuts a bucket or
 * a bucket is dirty. Each event is in exactly one of these.
 */
#include "postgres.h"

#include "rollup/metrics.h"

#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "catalog.h"
#include "compat.h"
#include "event/event.h"
#include "event/timestamp.h"
#include "event/tuple.h"
#include "rollup/calendar.h"
#include "rollup/minutes.h"
#include "rollup/plan.h"
#include "rollup/raw.h"
#include "rollup/source.h"
#include "rollup/tally.h"
#include "rollup/text_map.h"

typedef enum
{
	GROUP_NONE,
	GROUP_HOUR,
	GROUP_DAY,
	GROUP_KEY
} GroupKind;

typedef struct
{
	const MetricsQuery *query;
	GroupKind kind;
	const Breakdown *breakdown;
	char *event_name; /* as the rollup has it */
	const char *key;  /* only this one; NULL is any */
	bool raw_only;	  /* the rollup does not know */
	Span range;
	RollupState state;
	const SpanList *dirty;
	TimeGroups *times; /* one for the whole range unless by hour or day */
	Tally *tallies;	   /* for each of times */
	bool *has_deltas;  /* likewise */
	TextMap *keys;	   /* tallies by key, for GROUP_KEY */
	HashedUsers users;
	const Span *packed; /* the span being read from rows of hours */
	MetricsSources sources;
	bool found_other;
} Question;

/*
 * The number of the group of hours or days that a time is in, or -1
 */
static int
time_group(const TimeGroups *times, TimestampTz ts)
{
	int low = 0;
	int high = times->n;

	if (times->n == 0 || ts < times->bounds[0] || ts >= times->bounds[times->n])
		return -1;
	while (high - low > 1)
	{
		int middle = (low + high) / 2;

		if (times->bounds[middle] <= ts)
			low = middle;
		else
			high = middle;
	}
	return low;
}

static Tally *
tally_of(Question *question, TimestampTz ts, const char *key, int key_len)
{
	TextMapEntry *entry;
	bool found;

	if (question->kind != GROUP_KEY)
		return &question->tallies[time_group(question->times, ts)];
	entry = TextMapAdd(question->keys, (Slice){key, key_len}, &found);
	if (!found)
		entry->pointer = palloc0(sizeof(Tally));
	return entry->pointer;
}

static bool
is_key(const RollupRow *row, const char *key)
{
	return (size_t) row->key_len == strlen(key) && memcmp(row->key, key, row->key_len) == 0;
}

static void
add_row(const RollupRow *row, void *arg)
{
	Question *question = arg;

	if (is_key(row, METRICS_OTHER))
		question->found_other = true;
	if (question->key != NULL && !is_key(row, question->key))
		return;
	TallyRow(tally_of(question, row->bucket, row->key, row->key_len), row->events,
			 row->unique_users, row->users);
}

/*
 * Add some minutes of a closed hour
 */
static void
add_packed_minutes(const RollupRow *row, void *arg)
{
	Question *question = arg;
	TimestampTz low = question->packed->low;
	Tally *tally;

	if (is_key(row, METRICS_OTHER))
		question->found_other = true;
	if (question->key != NULL && !is_key(row, question->key))
		return;
	if (row->users == (Datum) 0 || row->minutes == (Datum) 0)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("a row of fast_ingest.rollup has no minutes"),
						errhint("Count the raw rows again with fi_rebuild().")));
	tally = tally_of(question, low, row->key, row->key_len);
	HourMinutesSum(row->users, row->minutes, (int) ((low - row->bucket) / USECS_PER_MINUTE),
				   (int) ((question->packed->high - row->bucket) / USECS_PER_MINUTE),
				   &tally->events, TallyUsers(tally));
}

/*
 * Add what a delta counts, if its whole bucket is asked for and not read from
 * raw rows
 */
static void
add_delta(const DeltaRow *row, void *arg)
{
	Question *question = arg;
	TimestampTz end = row->bucket + BucketWidth(question->breakdown->finest);
	int group = time_group(question->times, row->bucket);
	Tally *tally;

	if (group < 0 || end > question->times->bounds[group + 1] ||
		SpanListHas(question->dirty, row->bucket))
		return;
	if (question->key != NULL && ((size_t) row->key_len != strlen(question->key) ||
								  memcmp(row->key, question->key, row->key_len) != 0))
		return;
	tally = tally_of(question, row->bucket, row->key, row->key_len);
	tally->events += row->events;
	(void) TallyUsers(tally);
	for (int i = 0; i < row->nusers; i++)
		HashedUsersAdd(&question->users, tally, row->hashes[row->users[i]]);
	question->has_deltas[group] = true;
	question->sources.deltas++;
}

static void
add_raw(const RawRow *row, void *arg)
{
	Question *question = arg;
	Tally *tally = tally_of(question, row->ts, row->key, row->key_len);

	tally->events++;
	(void) TallyUsers(tally);
	if (row->has_user)
		HashedUsersAdd(&question->users, tally, row->user);
	question->sources.raw_rows++;
}

/*
 * Is a group just one closed hour, whose users have been counted?
 */
static bool
is_counted_hour(const Question *question, int group)
{
	TimestampTz low = question->times->bounds[group];

	return question->kind != GROUP_KEY && question->key == NULL && !question->has_deltas[group] &&
		   question->times->bounds[group + 1] == low + USECS_PER_HOUR &&
		   BucketStart(low, LEVEL_HOUR) == low && low < question->state.hours_closed &&
		   !SpanListTouches(question->dirty, low, low + USECS_PER_HOUR);
}

static int64
read_rows(Question *question, int breakdown, RollupLevel level, const SpanList *spans)
{
	int64 n = 0;

	for (int i = 0; i < spans->n; i++)
		n += RollupRows(breakdown, level, question->event_name, question->key, spans->spans[i],
						add_row, question);
	return n;
}

static void
sum_events(const RollupRow *row, void *arg)
{
	*(int64 *) arg += row->events;
}

typedef struct
{
	Span span;
	int64 events;
} EventCount;

static void
sum_delta(const DeltaRow *row, void *arg)
{
	EventCount *count = arg;

	if (row->bucket >= count->span.low && row->bucket < count->span.high)
		count->events += row->events;
}

/*
 * How many events the rollup has in rows that touch a span of whole buckets
 */
static int64
events_between(const Question *question, Span span)
{
	static const SpanList nothing = {0};
	AnswerPlan plan = {0};
	EventCount waiting = {span, 0};
	int64 events = 0;
	int breakdown = question->breakdown->id;

	PlanAdd(&plan, span.low, span.high, question->breakdown->finest, &question->state, &nothing);
	for (int i = 0; i < plan.days.n; i++)
		(void) RollupRows(breakdown, LEVEL_DAY, question->event_name, NULL, plan.days.spans[i],
						  sum_events, &events);
	for (int i = 0; i < plan.hours.n; i++)
		(void) RollupRows(breakdown, LEVEL_HOUR, question->event_name, NULL, plan.hours.spans[i],
						  sum_events, &events);
	for (int i = 0; i < plan.packed.n; i++)
		(void) RollupRows(
			breakdown, LEVEL_HOUR, question->event_name, NULL,
			(Span){BucketStart(plan.packed.spans[i].low, LEVEL_HOUR), plan.packed.spans[i].high},
			sum_events, &events);
	for (int i = 0; i < plan.minutes.n; i++)
		(void) RollupRows(breakdown, LEVEL_MINUTE, question->event_name, NULL,
						  plan.minutes.spans[i], sum_events, &events);
	DeltaRows(question->users.snapshot, breakdown, question->event_name, span, sum_delta, &waiting);
	return events + waiting.events;
}

/*
 * The rollup outlives its raw rows: are those there that an answer needs? No
 * row of the rollup where there is no partition is a yes, too.
 */
static void
check_raw_rows(Question *question, const SpanList *raw)
{
	RollupLevel finest = question->breakdown->finest;
	const SpanList *covered = RawCoverage(question->users.snapshot);
	SpanList without = {0};

	for (int i = 0; i < raw->n; i++)
	{
		TimestampTz low = raw->spans[i].low;

		for (int j = 0; j < covered->n && low < raw->spans[i].high; j++)
		{
			if (covered->spans[j].high <= low)
				continue;
			SpanListAdd(&without, low, Min(covered->spans[j].low, raw->spans[i].high));
			low = Max(low, covered->spans[j].high);
		}
		SpanListAdd(&without, low, raw->spans[i].high);
	}
	for (int i = 0; i < without.n; i++)
	{
		TimestampTz low = BucketStart(without.spans[i].low, finest);
		TimestampTz high = BucketStart(without.spans[i].high - 1, finest) + BucketWidth(finest);

		if (events_between(question, (Span){low, high}) > 0)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("raw events before %s are needed and have been dropped",
							timestamptz_to_str(without.spans[i].high)),
					 errhint("Ask for a range of whole %s.", finest == LEVEL_DAY	? "days (UTC)"
															 : finest == LEVEL_HOUR ? "hours"
																					: "minutes")));
	}
}

/*
 * Read everything
 */
static void
read_sources(Question *question)
{
	bool total = question->kind != GROUP_KEY && question->key == NULL;
	int breakdown = question->breakdown->id;
	AnswerPlan plan = {0};
	SpanList counted = {0};

	if (question->raw_only)
		SpanListAdd(&plan.raw, question->range.low, question->range.high);
	else
	{
		DeltaRows(question->users.snapshot, breakdown, question->event_name, question->range,
				  add_delta, question);
		for (int i = 0; i < question->times->n; i++)
		{
			if (is_counted_hour(question, i))
				SpanListAdd(&counted, question->times->bounds[i], question->times->bounds[i + 1]);
			else
				PlanAdd(&plan, question->times->bounds[i], question->times->bounds[i + 1],
						question->breakdown->finest, &question->state, question->dirty);
		}
	}
	question->sources.hours += read_rows(question, BREAKDOWN_TOTAL, LEVEL_HOUR, &counted);
	question->sources.days +=
		read_rows(question, total ? BREAKDOWN_TOTAL : breakdown, LEVEL_DAY, &plan.days);
	question->sources.hours += read_rows(question, breakdown, LEVEL_HOUR, &plan.hours);
	question->sources.minutes += read_rows(question, breakdown, LEVEL_MINUTE, &plan.minutes);
	for (int i = 0; i < plan.packed.n; i++)
	{
		TimestampTz hour = BucketStart(plan.packed.spans[i].low, LEVEL_HOUR);

		question->packed = &plan.packed.spans[i];
		question->sources.minutes +=
			RollupRows(breakdown, LEVEL_HOUR, question->event_name, question->key,
					   (Span){hour, hour + 1}, add_packed_minutes, question);
	}
	check_raw_rows(question, &plan.raw);
	for (int i = 0; i < plan.raw.n; i++)
		RawScan(question->breakdown, question->query->event_name, question->query->channel,
				plan.raw.spans[i], add_raw, question);
	HashedUsersResolve(&question->users);
}

/*
 * Look for events of the answer's event_name: where must hours and days without
 * bounds begin and end?
 */
static void
extend_by_delta(const DeltaRow *row, void *arg)
{
	Span *extent = arg;

	extent->low = Min(extent->low, row->bucket);
	extent->high = Max(extent->high, row->bucket + USECS_PER_MINUTE);
}

static void
extend_by_raw(const RawRow *row, void *arg)
{
	Span *extent = arg;

	extent->low = Min(extent->low, row->ts);
	extent->high = Max(extent->high, row->ts + 1);
}

static Span
extent_of_data(Question *question)
{
	Span extent = RollupExtent(question->event_name);

	DeltaRows(question->users.snapshot, question->breakdown->id, question->event_name,
			  question->range, extend_by_delta, &extent);
	for (int i = 0; i < question->dirty->n; i++)
		RawScan(question->breakdown, question->query->event_name, question->query->channel,
				question->dirty->spans[i], extend_by_raw, &extent);
	return extent;
}

/*
 * Make the groups of time
 */
static void
make_times(Question *question, pg_tz *zone)
{
	Span range = question->range;

	if (question->kind == GROUP_HOUR || question->kind == GROUP_DAY)
	{
		if (!question->query->has_from || !question->query->has_to)
		{
			Span extent = extent_of_data(question);

			if (!question->query->has_from)
				range.low = extent.low;
			if (!question->query->has_to)
				range.high = extent.high;
		}
		question->times = CalendarGroups(range.low, range.high, question->kind == GROUP_DAY, zone);
	}
	else
	{
		question->times = palloc0(sizeof(TimeGroups));
		question->times->n = 1;
		question->times->bounds = palloc(2 * sizeof(TimestampTz));
		question->times->bounds[0] = range.low;
		question->times->bounds[1] = range.high;
	}
	question->tallies = palloc_extended(Max(question->times->n, 1) * sizeof(Tally),
										MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	question->has_deltas = palloc0(Max(question->times->n, 1) * sizeof(bool));
	if (question->kind == GROUP_KEY)
		question->keys = TextMapCreate(CurrentMemoryContext, 64);
}

/*
 * The rows of hours and days, without the empty ones where not wanted, and
 * without those before the first and behind the last event where no bound was
 * given
 */
static void
answer_times(Question *question, MetricsAnswer *answer)
{
	int first = 0;
	int last = question->times->n;

	while (!question->query->has_from && first < last && question->tallies[first].events == 0)
		first++;
	while (!question->query->has_to && first < last && question->tallies[last - 1].events == 0)
		last--;
	answer->rows = palloc_extended(Max(last - first, 1) * sizeof(MetricsRow), MCXT_ALLOC_HUGE);
	for (int i = first; i < last; i++)
	{
		Tally *tally = &question->tallies[i];

		if (tally->events > 0 || question->query->fill)
			answer->rows[answer->nrows++] =
				(MetricsRow){question->times->labels[i], tally->events, TallyUniqueUsers(tally)};
	}
}

static int
compare_rows(const void *a, const void *b)
{
	const MetricsRow *left = a;
	const MetricsRow *right = b;

	if (left->total_events != right->total_events)
		return left->total_events > right->total_events ? -1 : 1;
	return strcmp(left->group, right->group);
}

static void
answer_keys(Question *question, MetricsAnswer *answer)
{
	text_map_iterator iterator;
	TextMapEntry *entry;

	answer->rows =
		palloc_extended((question->keys->members + 1) * sizeof(MetricsRow), MCXT_ALLOC_HUGE);
	text_map_start_iterate(question->keys, &iterator);
	while ((entry = text_map_iterate(question->keys, &iterator)) != NULL)
	{
		Tally *tally = entry->pointer;

		if (tally->events > 0)
			answer->rows[answer->nrows++] =
				(MetricsRow){entry->text.data, tally->events, TallyUniqueUsers(tally)};
	}
	qsort(answer->rows, answer->nrows, sizeof(MetricsRow), compare_rows);
	answer->capped = question->found_other;
}

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
 * What is asked for, with the rollup as the snapshot has it
 */
static void
begin_question(Question *question, const MetricsQuery *query)
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
	question->state = RollupStateRead(GetActiveSnapshot());
	question->dirty =
		DirtySpans(GetActiveSnapshot(), question->breakdown->id, question->breakdown->finest);
	HashedUsersInit(&question->users, GetActiveSnapshot());
	make_times(question, zone);
}

static MetricsAnswer *
answer_question(Question *question)
{
	MetricsAnswer *answer = palloc0(sizeof(MetricsAnswer));

	answer->sources = question->sources;
	if (question->kind == GROUP_KEY)
		answer_keys(question, answer);
	else if (question->kind == GROUP_NONE)
	{
		answer->nrows = 1;
		answer->rows = palloc(sizeof(MetricsRow));
		answer->rows[0] = (MetricsRow){NULL, question->tallies[0].events,
									   TallyUniqueUsers(&question->tallies[0])};
	}
	else
		answer_times(question, answer);
	return answer;
}

MetricsAnswer *
MetricsCompute(const MetricsQuery *query)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context =
		AllocSetContextCreate(caller, "fast_ingest answer", ALLOCSET_DEFAULT_SIZES);
	MetricsQuery bounded = *query;
	MetricsAnswer *answer;
	Question question;
	int level = NewGUCNestLevel();

	check_query(query);
	/* infinity is no bound */
	bounded.has_from &= !TIMESTAMP_IS_NOBEGIN(bounded.from);
	bounded.has_to &= !TIMESTAMP_IS_NOEND(bounded.to);
	(void) set_config_option("enable_seqscan", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE,
							 true, 0, false);
	ExtensionLockEvents();
	SPI_connect();
	MemoryContextSwitchTo(context);
	begin_question(&question, &bounded);
	read_sources(&question);
	if (question.key != NULL && question.found_other)
	{
		/* some of the channel's events may be among the others */
		begin_question(&question, &bounded);
		question.raw_only = true;
		read_sources(&question);
	}
	answer = answer_question(&question);
	SPI_finish();
	AtEOXact_GUC(true, level);
	MemoryContextSwitchTo(caller);
	return answer;
}

bool
MetricsParseTime(const char *text, TimestampTz *time)
{
	size_t len = strlen(text);
	bool is_number = len > 0 && strspn(text, "0123456789.") == len && text[0] != '.';
	int64_t unix_time;

	if (!(is_number && TimestampFromNumber(text, len, &unix_time)) &&
		!TimestampFromRfc3339(text, len, &unix_time))
		return false;
	*time = unix_time - UNIX_EPOCH_OFFSET;
	return true;
}
