/*
 * seen_times.h
 *
 * When some events were first and last: gathered from times, from buckets that have events but
 * not their times, and from rows of the rollup, which tell either.
 */
#ifndef FAST_INGEST_SEEN_TIMES_H
#define FAST_INGEST_SEEN_TIMES_H

#include "rollup/breakdown/breakdown.h"
#include "rollup/metrics/read_rollup.h"

typedef struct
{
	TimestampTz ts;
	int64 width;
} SeenBucket;

typedef struct
{
	TimestampTz first; /* of the times; DT_NOEND without any */
	TimestampTz last;  /* DT_NOBEGIN without any */
	SeenBucket first_bucket;
	SeenBucket last_bucket;
	bool has_first; /* raw rows have told the times in the bucket */
	bool has_last;
} SeenTimes;

/* No events. */
extern SeenTimes SeenTimesNone(void);

/* Add the times of two events, of which the first may be the last. */
extern void SeenTimesAdd(SeenTimes *seen, TimestampTz first, TimestampTz last);

/* Add a bucket that has events. */
extern void SeenTimesAddBucket(SeenTimes *seen, TimestampTz ts, int64 width);

/*
 * Add what a row of level minute or hour tells of its events in the range: their times, or the
 * bucket if it has not all times. The range may begin and end within a minute of which the row
 * has the times. Error XX001 if its minutes are damaged.
 */
extern void SeenTimesAddRow(SeenTimes *seen, const Breakdown *breakdown, BucketLevel level,
							const RollupRow *row, TimeRange range);

/* Add the buckets that may have the first or the last event to a list. */
extern void SeenTimesUnknown(const SeenTimes *seen, TimeRangeList *buckets);

/* Add an event of these buckets, as a raw row tells it, or of others. */
extern void SeenTimesAddRaw(SeenTimes *seen, TimestampTz ts);

/* The times, or the beginning of a bucket whose events no raw row has told. */
extern TimestampTz SeenTimesFirst(const SeenTimes *seen);
extern TimestampTz SeenTimesLast(const SeenTimes *seen);

#endif
