/*
 * key_order.h
 *
 * The order in which several flushers store events.
 */
#ifndef FAST_INGEST_KEY_ORDER_H
#define FAST_INGEST_KEY_ORDER_H

#include "stage/ring.h"

/*
 * The n records by day and event_key, allocated in the current context; those
 * that have the same, or no key, stay in the order in which they came.
 */
extern RingRecord **KeyOrder(RingRecord **records, int n);

#endif
