/*
 * utility_hook.c
 *
 * The one function of ours in the chain of ProcessUtility_hook.
 */
#include "postgres.h"

#include "db/utility_hook.h"

#include "tcop/utility.h"

#define MAX_HOOKS 8

static const UtilityHook *hooks[MAX_HOOKS];
static int nhooks = 0;

static ProcessUtility_hook_type prev_process_utility = NULL;

static void
call_before(Node *command, void *volatile *states)
{
	for (int i = nhooks - 1; i >= 0; i--)
		states[i] = hooks[i]->before(command);
}

static void
call_at_end(void *volatile *states)
{
	for (int i = 0; i < nhooks; i++)
		if (states[i] != NULL && hooks[i]->at_end != NULL)
			hooks[i]->at_end(states[i]);
}

static void
call_after(Node *command, void *volatile *states)
{
	for (int i = 0; i < nhooks; i++)
		if (states[i] != NULL && hooks[i]->after != NULL)
			hooks[i]->after(command, states[i]);
}

static void
process_utility(PlannedStmt *statement, const char *query_string, bool read_only_tree,
				ProcessUtilityContext context, ParamListInfo params, QueryEnvironment *environment,
				DestReceiver *receiver, QueryCompletion *completion)
{
	Node *command = statement->utilityStmt;
	void *volatile states[MAX_HOOKS] = {NULL};

	PG_TRY();
	{
		ProcessUtility_hook_type next =
			prev_process_utility ? prev_process_utility : standard_ProcessUtility;

		call_before(command, states);
		next(statement, query_string, read_only_tree, context, params, environment, receiver,
			 completion);
	}
	PG_CATCH();
	{
		call_at_end(states);
		PG_RE_THROW();
	}
	PG_END_TRY();
	call_at_end(states);
	call_after(command, states);
}

void
UtilityHookRegister(const UtilityHook *hook)
{
	if (nhooks == MAX_HOOKS)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("too many utility hooks of fast_ingest")));
	if (nhooks == 0)
	{
		prev_process_utility = ProcessUtility_hook;
		ProcessUtility_hook = process_utility;
	}
	hooks[nhooks++] = hook;
}
