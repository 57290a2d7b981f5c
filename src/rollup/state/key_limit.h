/*
 * key_limit.h
 *
 * Clients make up event_names and keys, so the rollup keeps only so many of them
 * apart. The rest is counted together, in rows that are told apart by columns, for
 * there is no text that a client cannot send:
 *
 *     is_other_name	events whose name is beyond fast_ingest.max_event_names of the day
 *     is_other			events of a name whose key is beyond max_keys of the breakdown in
 *						the hour, or in the day where it is kept by days
 *
 * What makes it exact: first come, first served, until there is one too many; from then
 * on nothing new is kept apart. A name is kept apart on a day if fast_ingest.event_names
 * says so, a key in a bucket if it has rows of its own there. What is kept apart has
 * nothing among the others; anything else may have. Taking all rows of some minutes,
 * hours or days away, to count them again, leaves that true.
 */
#ifndef FAST_INGEST_KEY_LIMIT_H
#define FAST_INGEST_KEY_LIMIT_H

#include "base/time_ranges.h"
#include "rollup/breakdown/breakdown.h"

/* The width of the buckets in which keys are limited. */
extern BucketLevel KeyLimitLevel(const Breakdown *breakdown);

/*
 * The times, on days of a range, at which events of an event_name, or of it with one
 * key (unless NULL), may be counted among others. In order, in whole buckets, in the
 * current memory context. Needs SPI.
 */
extern TimeRangeList *KeyLimitUncertain(const Breakdown *breakdown, const char *event_name,
										const char *key, TimeRange range);

/* Has a breakdown that is kept by days counted keys together on a day? Needs SPI. */
extern bool KeyLimitHasOthers(const Breakdown *breakdown, TimestampTz day);

/* Choose the event_names of the days of a span anew: nothing of them is counted. Needs SPI. */
extern void KeyLimitForgetNames(TimeRange days);

#endif
