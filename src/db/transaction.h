/*
 * transaction.h
 *
 * The one way in which workers use SPI: a transaction of its own, whose error
 * comes back as a value.
 */
#ifndef FAST_INGEST_TRANSACTION_H
#define FAST_INGEST_TRANSACTION_H

#include "executor/spi.h"
#include "utils/elog.h"

typedef void (*TransactionBody)(void *arg);

/*
 * Run body in a transaction with SPI connected and a snapshot set, and commit.
 * NULL when it committed; otherwise nothing of it happened, and the error is
 * returned, allocated in the caller's memory context. activity is shown in
 * pg_stat_activity.
 */
extern ErrorData *RunTransaction(const char *activity, TransactionBody body, void *arg);

/*
 * Run body in a subtransaction of the caller's. NULL when it is done; otherwise
 * nothing of it happened, and the error is returned, allocated as above.
 */
extern ErrorData *RunSubtransaction(TransactionBody body, void *arg);

#endif
