/*
 * key_limit.h
 *
 * How many event_names and keys have rows of their own. Clients make them up, so their number
 * has a limit. Events of all others are counted together in rows of others. Columns mark these
 * rows, as there is no text that a client cannot send:
 *
 *     is_other_name	events of names beyond fast_ingest.max_event_names on a day
 *     is_other			events of a name, with keys beyond the breakdown's limit in an
 *						hour, or on a day where the breakdown has rows of days only
 *
 * The limit is the breakdown's max_keys. If keys have scopes, max_keys is the limit of each
 * scope, and all scopes together have KEY_LIMIT_SCOPES times as many. Keys beyond the limit of
 * their scope are counted in a row of others of this scope, those beyond the limit of all in one
 * whose scope is "". Keys without a scope have the latter limit only. Where the scope is the key
 * itself, as that of sites, max_keys is the limit of all.
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

#define KEY_LIMIT_SCOPES 10

/* The level of the bucket in which a breakdown's keys are limited at a time: an hour or a day. */
extern BucketLevel KeyLimitLevel(const Breakdown *breakdown, TimestampTz ts);

/* How many keys of all scopes get rows of their own. */
extern int64 KeyLimitOfAll(const Breakdown *breakdown);

/*
 * The times, on days of a range, at which rows of others may have counted events that a question
 * asks for, with an event_name, a scope and a key; each may be NULL, for any. Whole buckets,
 * ordered, in the current memory context. Needs SPI.
 *
 * A question about all names is never uncertain because of a name, as others of names are a part
 * of its answer. One about all keys of a scope is certain in spite of others of this very scope,
 * for the same reason; others of all scopes make it uncertain.
 */
extern TimeRangeList *KeyLimitUncertain(const Breakdown *breakdown, const char *event_name,
										const char *scope, const char *key, TimeRange range);

/*
 * Forget which event_names have rows of their own on the whole days of a range. All that is
 * counted there must be removed, too. Needs SPI.
 */
extern void KeyLimitForgetNames(TimeRange days);

#endif
