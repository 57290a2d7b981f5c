/*
 * set_option.h
 *
 * Settings of PostgreSQL that our code changes for a while.
 */
#ifndef FAST_INGEST_SET_OPTION_H
#define FAST_INGEST_SET_OPTION_H

#include "utils/guc.h"

/*
 * Change a setting that every user may change. action says for how long: GUC_ACTION_LOCAL
 * until the transaction ends, GUC_ACTION_SAVE until AtEOXact_GUC() ends the level that
 * NewGUCNestLevel() began. An ERROR if the value is not valid.
 */
static inline void
SetOption(const char *name, const char *value, GucAction action)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, action, true, 0, false);
}

#endif
