/*
 * batch_order.h
 *
 * The order in which flushers store events so that they do not deadlock.
 */
#ifndef FAST_INGEST_BATCH_ORDER_H
#define FAST_INGEST_BATCH_ORDER_H

#include "shared/types/ring.h"

/*
 * Sort n records by day and event_key; the array is allocated in the current memory
 * context. Records of the same key, or without one, stay in the order in which they came.
 */
extern RingRecord **BatchOrder(RingRecord **records, int n);

#endif
