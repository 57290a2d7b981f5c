/*
 * give_way.h
 *
 * Transactions that are broken off when they hold up others for too long: because a lock is
 * not to be had, or a trigger is slow.
 */
#ifndef FAST_INGEST_GIVE_WAY_H
#define FAST_INGEST_GIVE_WAY_H

#include "db/transaction.h"

/* Prepare this process; called once. */
extern void GiveWayInit(void);

/*
 * RunTransaction, but after so many milliseconds the body is cancelled as soon as
 * others_wait() is true. It is asked in a signal handler. Deferred constraints are checked as part
 * of the body. The commit is never cancelled.
 */
extern ErrorData *GiveWayRun(const char *activity, TransactionBody body, void *arg, int patience,
							 bool (*others_wait)(void));

/* Was the last one broken off? */
extern bool GiveWayFired(void);

#endif
