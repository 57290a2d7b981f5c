/*
 * conflicts.c
 *
 * The executor counts conflicts where it is asked to, for EXPLAIN ANALYZE. So we ask it
 * to, and read its count before it is gone.
 */
#include "postgres.h"

#include "flush/conflicts.h"

#include "executor/executor.h"
#include "executor/instrument.h"

static ExecutorStart_hook_type prev_executor_start = NULL;
static ExecutorEnd_hook_type prev_executor_end = NULL;
static bool installed = false; /* in this process */
static const char *watched = NULL;
static uint64 conflicts;

static bool
is_watched(const QueryDesc *query)
{
	return watched != NULL && strcmp(query->sourceText, watched) == 0;
}

static void
executor_start(QueryDesc *query, int flags)
{
	if (is_watched(query))
		query->instrument_options |= INSTRUMENT_ROWS;
	if (prev_executor_start)
		prev_executor_start(query, flags);
	else
		standard_ExecutorStart(query, flags);
}

static void
executor_end(QueryDesc *query)
{
	if (is_watched(query) && IsA(query->planstate, ModifyTableState))
		conflicts = (uint64) query->planstate->instrument->ntuples2;
	if (prev_executor_end)
		prev_executor_end(query);
	else
		standard_ExecutorEnd(query);
}

void
ConflictsWatch(const char *statement)
{
	if (!installed)
	{
		prev_executor_start = ExecutorStart_hook;
		ExecutorStart_hook = executor_start;
		prev_executor_end = ExecutorEnd_hook;
		ExecutorEnd_hook = executor_end;
		installed = true;
	}
	watched = statement;
	conflicts = 0;
}

uint64
ConflictsCounted(void)
{
	watched = NULL;
	return conflicts;
}
