/*
 * count_conflicts.c
 *
 * The executor can count conflicts, as it does for EXPLAIN ANALYZE. Two hooks ask it to
 * do so, and read the count before the query's state is freed.
 */
#include "postgres.h"

#include "db/count_conflicts.h"

#include "executor/executor.h"
#include "executor/instrument.h"

static ExecutorStart_hook_type prev_executor_start = NULL;
static ExecutorEnd_hook_type prev_executor_end = NULL;
static bool installed = false;	   /* in this process */
static const char *watched = NULL; /* text of the statement */
static uint64 conflicts;

static bool
is_watched(const QueryDesc *query)
{
	return watched != NULL && strcmp(query->sourceText, watched) == 0;
}

static void
ask_for_count(QueryDesc *query, int flags)
{
	if (is_watched(query))
		query->instrument_options |= INSTRUMENT_ROWS;
	if (prev_executor_start)
		prev_executor_start(query, flags);
	else
		standard_ExecutorStart(query, flags);
}

static void
read_count(QueryDesc *query)
{
	if (is_watched(query) && IsA(query->planstate, ModifyTableState))
		conflicts = (uint64) query->planstate->instrument->ntuples2;
	if (prev_executor_end)
		prev_executor_end(query);
	else
		standard_ExecutorEnd(query);
}

void
ConflictCountBegin(const char *statement)
{
	if (!installed)
	{
		prev_executor_start = ExecutorStart_hook;
		ExecutorStart_hook = ask_for_count;
		prev_executor_end = ExecutorEnd_hook;
		ExecutorEnd_hook = read_count;
		installed = true;
	}
	watched = statement;
	conflicts = 0;
}

uint64
ConflictCountEnd(void)
{
	watched = NULL;
	return conflicts;
}
