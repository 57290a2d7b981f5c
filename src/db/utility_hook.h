/*
 * utility_hook.h
 *
 * What happens before and after utility commands. The hook of PostgreSQL is chained once,
 * for all who register here.
 */
#ifndef FAST_INGEST_UTILITY_HOOK_H
#define FAST_INGEST_UTILITY_HOOK_H

#include "nodes/nodes.h"

/*
 * Functions that are not needed are NULL. The whole library being one chain of hooks, who
 * registers first is next to the command: its before runs last and its after first.
 */
typedef struct
{
	/*
	 * Called before each utility command. What it returns is given to the other two, and
	 * lives in the current memory context: NULL says that they need not be called.
	 */
	void *(*before)(Node *command);

	/* Called after a command that succeeded. */
	void (*after)(Node *command, void *state);

	/* Called at the end of a command, also of one that failed, before any after. */
	void (*at_end)(void *state);
} UtilityHook;

/* Register functions for the rest of the process; called by _PG_init. */
extern void UtilityHookRegister(const UtilityHook *hook);

#endif
