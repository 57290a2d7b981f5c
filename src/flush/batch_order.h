/*
 * batch_order.h
 *
 * The order in which several flushers store events.
 */
#ifndef FAST_INGEST_BATCH_ORDER_H
#define FAST_INGEST_BATCH_ORDER_H

#include "shared/ring.h"

/*
 * The n records by day and event_key, allocated in the current context; those
 * that have the same, or no key, stay in the order in which they came.
 */
extern RingRecord **BatchOrder(RingRecord **records, int n);

#endif
