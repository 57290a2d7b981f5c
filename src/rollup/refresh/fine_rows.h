/*
 * fine_rows.h
 *
 * Days that keep rows of the level day only: those that begin before fine_from of their
 * breakdown. Needs the refresh's lock and SPI.
 */
#ifndef FAST_INGEST_FINE_ROWS_H
#define FAST_INGEST_FINE_ROWS_H

#include "rollup/breakdown/breakdown.h"

/*
 * Delete the rows below the level day of whole days that have rows of days. Keys with a row of
 * the day whose events may be among others in an hour join the others of the day, as the rule of
 * key_limit.h wants.
 */
extern void FineRowsDrop(const Breakdown *breakdown, TimeRange days);

/* Make rows of days that have none from those of the levels below, which stay. */
extern void FineRowsToDays(const Breakdown *breakdown, TimeRange days);

/* Turn all rows of minutes, those that hours hold included, into rows of hours. */
extern void FineRowsToHours(const Breakdown *breakdown);

/* Delete all rows of buckets from a time on. They must be counted again. */
extern void FineRowsForget(const Breakdown *breakdown, TimestampTz from);

#endif
