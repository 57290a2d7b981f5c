/*
 * utility_hook.h
 *
 * What our modules do before and after utility commands. One function of ours is in the
 * chain of ProcessUtility_hook, and calls those of all modules that have registered here.
 */
#ifndef FAST_INGEST_UTILITY_HOOK_H
#define FAST_INGEST_UTILITY_HOOK_H

#include "nodes/nodes.h"

/*
 * The functions of one module. after and at_end may be NULL. The modules are nested as hooks
 * of their own would be: the one that registered last begins first and ends last.
 */
typedef struct
{
	/*
	 * Called before each utility command. The result is passed to the other functions; NULL
	 * says that they need not be called. It must live as long as the command: the current
	 * memory context does.
	 */
	void *(*before)(Node *command);

	/* Called after the command if it succeeded. */
	void (*after)(Node *command, void *state);

	/* Called when the command has ended, also with an ERROR, and before any after. */
	void (*at_end)(void *state);
} UtilityHook;

/* Register the functions of a module for the rest of the process; called by _PG_init. */
extern void UtilityHookRegister(const UtilityHook *hook);

#endif
