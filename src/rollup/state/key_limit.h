/*
 * key_limit.h
 *
 * How many event_names and keys have rows of their own. Clients make them up, so their number
 * has a limit. Events of all others are counted together in rows of others. Columns mark these
 * rows, as there is no text that a client cannot send:
 *
 *     is_other_name	events of names beyond fast_ingest.max_event_names on a day
 *     is_other			events of a name, with keys beyond the breakdown's max_keys in an
 *						hour, or on a day if the breakdown has rows of days only
 *
 * Counts stay exact by this rule: names and keys get rows of their own until the first one
 * comes for which there is no room; after it, no new one gets any. A name has its own rows on a
 * day if fast_ingest.event_names says so, a key in a bucket if there is a row of it. No event of
 * such a name or key is counted among the others; events of any other may be. Removing all rows
 * of some minutes, hours or days, to count them again, does not break this rule.
 */
#ifndef FAST_INGEST_KEY_LIMIT_H
#define FAST_INGEST_KEY_LIMIT_H

#include "base/time_ranges.h"
#include "rollup/breakdown/breakdown.h"

/* The level of the buckets in which a breakdown's keys are limited: hours or days. */
extern BucketLevel KeyLimitLevel(const Breakdown *breakdown);

/*
 * The times, on days of a range, at which events of an event_name may be counted among others;
 * with a key (unless NULL), also those at which events of the name with this key may be. Whole
 * buckets, ordered, in the current memory context. Needs SPI.
 */
extern TimeRangeList *KeyLimitUncertain(const Breakdown *breakdown, const char *event_name,
										const char *key, TimeRange range);

/* Has a breakdown that has rows of days only counted keys together on a day? Needs SPI. */
extern bool KeyLimitHasOthers(const Breakdown *breakdown, TimestampTz day);

/*
 * Forget which event_names have rows of their own on the whole days of a range. All that is
 * counted there must be removed, too. Needs SPI.
 */
extern void KeyLimitForgetNames(TimeRange days);

#endif
