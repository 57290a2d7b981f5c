/*
 * cancel_when_blocking.h
 *
 * Transactions that are cancelled when they take long while other events wait for
 * them: because of a lock that somebody holds, or a slow trigger.
 */
#ifndef FAST_INGEST_CANCEL_WHEN_BLOCKING_H
#define FAST_INGEST_CANCEL_WHEN_BLOCKING_H

#include "db/transaction.h"

/* Do other events wait for this process? Called in a signal handler. */
typedef bool (*OthersWaitCheck)(void);

/* Prepare this process; called once. */
extern void CancelWhenBlockingInit(void);

/*
 * RunTransaction, but the body is cancelled as soon as others wait, though not within
 * the first patience milliseconds. Deferred triggers and constraints are run as part of
 * the body. The commit is never cancelled.
 */
extern ErrorData *RunUnlessBlocking(const char *activity, TransactionBody body, void *arg,
									int patience, OthersWaitCheck others_wait);

/* Was the last transaction of RunUnlessBlocking cancelled? */
extern bool LastRunWasCancelled(void);

#endif
