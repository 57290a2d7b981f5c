/*
 * answer_overview.c
 *
 * GET /overview: everything that one view of a dashboard shows, of one snapshot: totals and a
 * chart, the same of a range to compare with, the minutes that just passed, and a card with the
 * largest groups of each breakdown.
 *
 * Each of these is a part. A part whose raw rows have been dropped has an error in its place, and
 * the others are answered; so has a card that would come too late (see is_late). An error of the
 * parameters fails the request. Slow cards may be left out, so that the others need not wait for
 * them.
 */
#include "postgres.h"

#include "query/answers/answers.h"

#include "access/xact.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "db/error_class.h"
#include "db/own_tables.h"
#include "db/transaction.h"
#include "query/answers/write_json.h"
#include "query/parameters/filters.h"
#include "query/parameters/parameter_values.h"
#include "query/parameters/request_parameters.h"
#include "query/parameters/value_list.h"
#include "rollup/breakdown/breakdown.h"
#include "rollup/questions/live.h"

/* The way from the question of a part to its answer */
typedef struct
{
	TransactionBody compute;
	union
	{
		const SeriesQuery *series;
		const MetricsQuery *metrics;
		const LiveQuery *live;
	} query;
	union
	{
		SeriesAnswer *series;
		MetricsAnswer *metrics;
		LiveAnswer *live;
	} answer;
} Part;

/* Cards that come after so many microseconds are slow. */
#define QUICK (USECS_PER_SEC / 2)

/* The answer to a request as far as it is written */
typedef struct
{
	StringInfo text;
	MemoryContext part_context; /* what a part has computed; empty between two */
	int64 raw_rows;
	TimestampTz began;
	const char *step; /* constant text: that of the first series, or the one asked for */
} Overview;

static void
compute_series(void *arg)
{
	Part *part = arg;

	part->answer.series = SeriesCompute(part->query.series);
}

static void
compute_metrics(void *arg)
{
	Part *part = arg;

	part->answer.metrics = MetricsCompute(part->query.metrics);
}

static void
compute_live(void *arg)
{
	Part *part = arg;

	part->answer.live = LiveCompute(part->query.live);
}

/*
 * Compute a part in a context of its own, which end_part empties. False if its error was written
 * in its place.
 */
static bool
begin_part(Overview *overview, Part *part)
{
	ErrorData *error;

	MemoryContextSwitchTo(overview->part_context);
	error = RunSubtransaction(part->compute, part);
	if (error == NULL)
		return true;
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE)
		ReThrowError(error);
	WriteTextMember(overview->text, "error", error->message);
	return false;
}

static void
end_part(Overview *overview)
{
	MemoryContextSwitchTo(MemoryContextGetParent(overview->part_context));
	MemoryContextReset(overview->part_context);
}

/*
 * Is more than half of the request's time over? What comes then is answered without its numbers,
 * so that slow parts do not cost the client the others.
 */
static bool
is_late(void)
{
	TimestampTz end = get_timeout_finish_time(STATEMENT_TIMEOUT);

	return end - GetCurrentTimestamp() < (end - get_timeout_start_time(STATEMENT_TIMEOUT)) / 2;
}

static void
write_late(StringInfo text, const char *instead)
{
	WriteTextMember(text, "error",
					psprintf("not computed: the parts before it took half of "
							 "fast_ingest.query_timeout; ask for %s",
							 instead));
}

/*
 * Write totals and points; the first series, whose step was asked for, sets the step
 */
static void
write_series(Overview *overview, const SeriesQuery *query)
{
	StringInfo text = overview->text;
	Part part = {.compute = compute_series, .query.series = query};

	if (begin_part(overview, &part))
	{
		const SeriesAnswer *series = part.answer.series;

		overview->step = series->step;
		overview->raw_rows += series->sources.raw_rows;
		WriteTextMember(text, "step", series->step);
		appendStringInfoChar(text, ',');
		WriteCounts(text, series->total_events, series->unique_users);
		appendStringInfoString(text, ",\"points\":[");
		for (int i = 0; i < series->nseries; i++)
			WritePoints(text, series->series[i].points, series->series[i].npoints);
		appendStringInfoChar(text, ']');
	}
	end_part(overview);
}

static void
write_compare(Overview *overview, const OverviewParameters *parameters)
{
	StringInfo text = overview->text;
	SeriesQuery query = parameters->query;

	query.step = overview->step;
	query.metrics.names = parameters->compare.names;
	query.metrics.from = parameters->compare.from;
	query.metrics.to = parameters->compare.to;
	query.metrics.has_from = query.metrics.has_to = true;
	appendStringInfoString(text, ",\"compare\":{");
	WriteRange(text, (TimeRange){query.metrics.from, query.metrics.to}, true, true);
	if (is_late())
		write_late(text, "a shorter range");
	else
		write_series(overview, &query);
	appendStringInfoChar(text, '}');
}

/*
 * Write the last minutes, of the websites and channels that are asked for: a key may be limited to
 * these. Other filters, and event_name, are of what happened in the range.
 */
static void
write_live(Overview *overview, const MetricsQuery *query)
{
	MetricsFilter *filters = palloc(Max(query->nfilters, 1) * sizeof(MetricsFilter));
	LiveQuery live = {.filters = filters};
	Part part = {.compute = compute_live, .query.live = &live};

	for (int i = 0; i < query->nfilters; i++)
		if (strcmp(query->filters[i].name, "site") == 0 ||
			strcmp(query->filters[i].name, "channel") == 0)
			filters[live.nfilters++] = query->filters[i];
	appendStringInfoString(overview->text, ",\"live\":{");
	if (begin_part(overview, &part))
	{
		overview->raw_rows += part.answer.live->raw_rows;
		WriteLive(overview->text, part.answer.live);
	}
	end_part(overview);
	appendStringInfoChar(overview->text, '}');
}

static void
write_left_out(StringInfo text)
{
	appendStringInfoString(text, "\"left_out\":true");
}

static void
write_card(Overview *overview, const OverviewParameters *parameters, const char *name)
{
	StringInfo text = overview->text;
	MetricsQuery query = parameters->query.metrics;
	Part part = {.compute = compute_metrics, .query.metrics = &query};

	query.group_by = name;
	query.limit = parameters->top;
	query.rollup_only = !parameters->slow_cards;
	WriteTextMember(text, "name", name);
	appendStringInfoChar(text, ',');
	if (is_late())
	{
		write_late(text, "it by cards, or by GET /metrics");
		return;
	}
	if (query.rollup_only && GetCurrentTimestamp() - overview->began > QUICK)
	{
		write_left_out(text);
		return;
	}
	if (begin_part(overview, &part))
	{
		const MetricsAnswer *metrics = part.answer.metrics;

		if (metrics->left_out)
			write_left_out(text);
		else
		{
			overview->raw_rows += metrics->sources.raw_rows;
			appendStringInfo(text, "\"groups\":%d,\"rows\":[", metrics->ngroups);
			WriteRows(text, "group", metrics->rows, metrics->nrows);
			appendStringInfoChar(text, ']');
		}
	}
	end_part(overview);
}

/*
 * List the names of all cards: events, channels, then all other breakdowns
 */
static List *
list_all_cards(const BreakdownList *breakdowns)
{
	List *cards = list_make2("event", BreakdownBuiltIn(breakdowns, BREAKDOWN_CHANNEL)->name);

	for (int i = 0; i < breakdowns->n; i++)
		if (breakdowns->items[i].id != BREAKDOWN_CHANNEL)
			cards = lappend(cards, breakdowns->items[i].name);
	return cards;
}

static bool
has_card(const List *cards, const char *name)
{
	ListCell *cell;

	foreach (cell, cards)
		if (strcmp(lfirst(cell), name) == 0)
			return true;
	return false;
}

pg_noreturn static void
refuse_cards(const char *value, const List *all)
{
	StringInfoData expected;
	ListCell *cell;

	initStringInfo(&expected);
	appendStringInfoString(&expected, "some of");
	foreach (cell, all)
		appendStringInfo(&expected, "%s %s", cell == list_head(all) ? "" : ",",
						 (char *) lfirst(cell));
	appendStringInfoString(&expected, ", each once");
	ParameterRefuse("cards", value, expected.data);
}

/*
 * List the names of the cards that are asked for. An error 22023 for one that is none, or is
 * asked for twice.
 */
static List *
list_cards(const char *value)
{
	List *all = list_all_cards(BreakdownsRead(GetActiveSnapshot(), TIME_BEGIN));
	List *cards = NIL;

	if (value == NULL)
		return all;
	for (const char *rest = value; rest != NULL;)
	{
		char *name = palloc(strlen(rest) + 1);

		if (ValueListNext(&rest, name) != NULL || !has_card(all, name) || has_card(cards, name))
			refuse_cards(value, all);
		cards = lappend(cards, name);
	}
	return cards;
}

static void
check_compare(const MetricsQuery *compare)
{
	if (compare->has_from != compare->has_to)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s is missing: expected a time, or neither %s nor %s",
							   compare->has_from ? compare->names->to : compare->names->from,
							   compare->names->from, compare->names->to)));
}

static void
write_cards(Overview *overview, const OverviewParameters *parameters, const List *cards)
{
	ListCell *cell;

	appendStringInfoString(overview->text, ",\"cards\":[");
	foreach (cell, cards)
	{
		appendStringInfoString(overview->text, cell == list_head(cards) ? "{" : ",{");
		write_card(overview, parameters, lfirst(cell));
		appendStringInfoChar(overview->text, '}');
	}
	appendStringInfoChar(overview->text, ']');
}

void
AnswerOverview(QueryAnswer *answer, const char *list, size_t len)
{
	StringInfo text = &answer->text;
	OverviewParameters parameters;
	const MetricsQuery *query = &parameters.query.metrics;
	Overview overview = {.text = text, .began = GetCurrentTimestamp()};
	List *cards;

	OverviewParametersRead(&parameters, list, len);
	check_compare(&parameters.compare);
	FiltersRequireKnown(&OverviewParameterTable, query);
	LockEventsTable();
	cards = list_cards(parameters.cards);
	overview.step = parameters.query.step;
	overview.part_context =
		AllocSetContextCreate(CurrentMemoryContext, "fast_ingest part", ALLOCSET_DEFAULT_SIZES);

	appendStringInfoString(text, "{\"now\":");
	WriteTime(text, GetCurrentStatementStartTimestamp());
	appendStringInfoChar(text, ',');
	WriteRange(text, (TimeRange){query->from, query->to}, query->has_from, query->has_to);
	write_series(&overview, &parameters.query);
	if (parameters.compare.has_from)
		write_compare(&overview, &parameters);
	write_live(&overview, query);
	write_cards(&overview, &parameters, cards);
	appendStringInfo(text, ",\"raw_rows\":" INT64_FORMAT "}", overview.raw_rows);
}
