/*
 * transaction.h
 *
 * Transactions of a worker and subtransactions of any process, whose errors come back as
 * values.
 */
#ifndef FAST_INGEST_TRANSACTION_H
#define FAST_INGEST_TRANSACTION_H

#include "executor/spi.h"
#include "utils/elog.h"

typedef void (*TransactionBody)(void *arg);

/*
 * Run body in a transaction, connected to SPI and with an active snapshot, and commit. NULL
 * if it committed. Otherwise all is rolled back and the error is returned, allocated in the
 * caller's memory context. activity is shown in pg_stat_activity.
 */
extern ErrorData *RunTransaction(const char *activity, TransactionBody body, void *arg);

/*
 * Run body in a subtransaction of the current transaction. NULL if it succeeded. Otherwise
 * what it did is rolled back and the error is returned, allocated as above.
 */
extern ErrorData *RunSubtransaction(TransactionBody body, void *arg);

#endif
