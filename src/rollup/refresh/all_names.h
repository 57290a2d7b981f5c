/*
 * all_names.h
 *
 * Rows of closed days that count the events of all event_names together, by scope and key. A
 * breakdown's have an id of their own, see breakdown.h. They are sums and unions of the
 * breakdown's rows of the same days, which questions about all names would have to unite
 * themselves. All functions need SPI.
 */
#ifndef FAST_INGEST_ALL_NAMES_H
#define FAST_INGEST_ALL_NAMES_H

#include "base/time_ranges.h"

/* Make the rows of days that have been closed, and whose rows of each name are complete. */
extern void AllNamesCount(int breakdown, TimeRange days);

/* Delete them. */
extern void AllNamesForget(int breakdown, TimeRange days);

/* Make them again, of the days that have any. */
extern void AllNamesCountAgain(int breakdown, TimeRange days);

#endif
