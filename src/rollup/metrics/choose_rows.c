/*
 * choose_rows.c
 *
 * Chooses what an answer is read from: rows of a breakdown, by key or by scope, if the rollup
 * has what is asked for, otherwise raw rows alone.
 *
 * A filter is the same as a breakdown if both have the same SQL expression. The rollup answers
 * filters on one breakdown's keys, on its scopes, or on both, with no series, a series for each
 * event_name, or for each key of that breakdown.
 *
 * An event may have several keys of a breakdown over arrays. It is counted once by each, so the
 * rows of several keys cannot be added, and do not tell which other keys the events have.
 */
#include "postgres.h"

#include "rollup/metrics/metrics_private.h"

#include "rollup/breakdown/breakdown_buckets.h"
#include "rollup/breakdown/rollup_text.h"
#include "rollup/metrics/filter_condition.h"

/* Most targets: each is looked up. For more, the raw rows of the range are read. */
#define MAX_TARGETS 1000

/*
 * Is group_by a period? Says of which steps
 */
static bool
find_period(const char *group_by, CalendarStep *step)
{
	static const struct
	{
		const char *name;
		CalendarStep step;
	} steps[] = {
		{"hour", STEP_HOUR}, {"day", STEP_DAY}, {"week", STEP_WEEK}, {"month", STEP_MONTH}};

	for (int i = 0; i < (int) lengthof(steps); i++)
	{
		*step = steps[i].step;
		if (strcmp(group_by, steps[i].name) == 0)
			return true;
	}
	return false;
}

bool
MetricsByPeriod(const char *group_by)
{
	CalendarStep step;

	return group_by != NULL && find_period(group_by, &step);
}

/*
 * Read group_by: the steps of time, or the series and their breakdown. NULL without a breakdown
 */
static const Breakdown *
choose_groups(MetricsRun *run, const BreakdownList *breakdowns)
{
	const char *group_by = run->query->group_by;
	const Breakdown *breakdown;
	CalendarStep step;

	run->by = BY_NONE;
	if (group_by == NULL)
		return NULL;
	if (find_period(group_by, &step))
	{
		run->by_time = true;
		run->step = step == STEP_WEEK && run->query->sunday ? STEP_SUNDAY_WEEK : step;
		return NULL;
	}
	if (strcmp(group_by, "event") == 0)
	{
		run->by = BY_EVENT;
		return NULL;
	}
	run->by = BY_KEY;
	breakdown = BreakdownByName(breakdowns, group_by);
	if (breakdown == NULL)
		MetricsRefuse("group_by", group_by,
					  "hour, day, week, month, event, channel, site, page or a breakdown made by "
					  "fi_add_breakdown()");
	return breakdown;
}

/*
 * Is a filter one on a breakdown's keys that its rows answer? grouped: there is a series for each
 * key.
 */
static bool
is_on_key(const EventCondition *condition, const Breakdown *breakdown, bool grouped)
{
	return strcmp(condition->sql, breakdown->key_sql) == 0 &&
		   !(breakdown->is_array && (grouped || condition->nvalues > 1));
}

/*
 * Is a filter one on a breakdown's scopes? The scope "" is that of events without one.
 */
static bool
is_on_scope(const EventCondition *condition, const Breakdown *breakdown)
{
	if (breakdown->scope_sql == NULL || strcmp(condition->sql, breakdown->scope_sql) != 0)
		return false;
	for (int i = 0; i < condition->nvalues; i++)
		if (condition->values[i][0] == '\0')
			return false;
	return true;
}

/*
 * Do a breakdown's rows answer the filters? Says which is on the key and which on the scope.
 */
static bool
answers_filters(const MetricsRun *run, const Breakdown *breakdown, const EventCondition **key,
				const EventCondition **scope)
{
	bool grouped = run->by == BY_KEY;

	*key = *scope = NULL;
	for (int i = 0; i < run->nconditions; i++)
	{
		const EventCondition *condition = &run->conditions[i];

		if (*key == NULL && is_on_key(condition, breakdown, grouped))
			*key = condition;
		else if (*scope == NULL && is_on_scope(condition, breakdown))
			*scope = condition;
		else
			return false;
	}
	/* rows of a site are found by their scope, which is their key */
	if (*key != NULL && *scope == NULL && is_on_scope(*key, breakdown))
		*scope = *key;
	/* a breakdown counts only events that have a key of it */
	return grouped || *key != NULL || run->nconditions == 0;
}

/*
 * Make the texts of a filter as the rollup has them, each once; returns how many there are
 */
static int
make_keys(const EventCondition *condition, const char **keys)
{
	TextMap *known = TextMapCreate(CurrentMemoryContext, 16);
	int n = 0;

	for (int i = 0; i < condition->nvalues; i++)
	{
		const char *value = condition->values[i];
		char key[ROLLUP_TEXT_SIZE];
		int len = RollupText(value, strlen(value), key);
		bool found;
		TextMapEntry *entry = TextMapAdd(known, (Slice){key, len}, &found);

		if (!found)
			keys[n++] = entry->text.data;
	}
	return n;
}

static void
make_targets(MetricsRun *run, const EventCondition *key, const EventCondition *scope)
{
	bool is_same = key == scope; /* each text is both */
	const char *any = NULL;
	const char **keys = &any;
	const char **scopes = &any;
	int nkeys = 1;
	int nscopes = 1;

	if (key == NULL && scope == NULL)
		return;
	if (key != NULL)
	{
		keys = palloc(key->nvalues * sizeof(char *));
		nkeys = make_keys(key, keys);
	}
	if (scope != NULL && !is_same)
	{
		scopes = palloc(scope->nvalues * sizeof(char *));
		nscopes = make_keys(scope, scopes);
	}
	run->all_raw = (int64) nkeys * nscopes > MAX_TARGETS && !is_same;
	if (run->all_raw)
		return;
	run->targets = palloc_extended((Size) nkeys * nscopes * sizeof(RunTarget), MCXT_ALLOC_HUGE);
	for (int i = 0; i < nscopes; i++)
		for (int j = 0; j < nkeys; j++)
			run->targets[run->ntargets++] = (RunTarget){is_same ? keys[j] : scopes[i], keys[j]};
}

static bool
cuts_bucket(const Breakdown *breakdown, TimestampTz bound)
{
	return BreakdownBucketStart(breakdown, bound) != bound;
}

/*
 * How much more than needed is read from a breakdown: raw rows, or rows of every scope
 */
static int
find_cost(const MetricsRun *run, const Breakdown *breakdown, const EventCondition *scope)
{
	int cost = 0;

	if (!run->query->align &&
		(cuts_bucket(breakdown, run->range.low) || cuts_bucket(breakdown, run->range.high)))
		cost += 2;
	if (breakdown->scope_sql != NULL && scope == NULL)
		cost += 1;
	return cost;
}

/*
 * Find the breakdown that answers the filters at the least cost, and of several the one with the
 * narrowest buckets; NULL if none does
 */
static const Breakdown *
find_breakdown(const MetricsRun *run, const BreakdownList *breakdowns)
{
	const Breakdown *best = NULL;
	int least = 0;
	const EventCondition *key;
	const EventCondition *scope;

	for (int i = 0; i < breakdowns->n; i++)
	{
		const Breakdown *breakdown = &breakdowns->items[i];
		int cost;

		if (!answers_filters(run, breakdown, &key, &scope))
			continue;
		cost = find_cost(run, breakdown, scope);
		if (best == NULL || cost < least || (cost == least && breakdown->width < best->width))
		{
			best = breakdown;
			least = cost;
		}
	}
	return best;
}

void
MetricsRunChoose(MetricsRun *run, const BreakdownList *breakdowns)
{
	const MetricsQuery *query = run->query;
	const Breakdown *grouped = choose_groups(run, breakdowns);
	const EventCondition *key = NULL;
	const EventCondition *scope = NULL;

	run->channels = BreakdownBuiltIn(breakdowns, BREAKDOWN_CHANNEL);
	run->nconditions = query->nfilters;
	run->conditions = palloc(Max(query->nfilters, 1) * sizeof(EventCondition));
	for (int i = 0; i < query->nfilters; i++)
		run->conditions[i] = FilterCondition(&query->filters[i], breakdowns);

	if (grouped != NULL)
	{
		run->breakdown = grouped;
		run->all_raw = !answers_filters(run, grouped, &key, &scope);
	}
	else if (query->nfilters == 0)
		run->breakdown = run->channels;
	else
	{
		const Breakdown *found = find_breakdown(run, breakdowns);

		run->breakdown = found ? found : run->channels;
		run->all_raw = found == NULL || !answers_filters(run, found, &key, &scope);
	}
	if (!run->all_raw)
		make_targets(run, key, scope);
}
