/*
 * time_list.h
 *
 * The times of a minute in memory (see minute_times.h), and the bytea that column minutes of
 * fast_ingest.rollup holds in rows of level minute.
 *
 * Times are complete only if they are as many as the row has events. Where they are not, the
 * row does not say when its events were.
 */
#ifndef FAST_INGEST_TIME_LIST_H
#define FAST_INGEST_TIME_LIST_H

#include "rollup/sets/minute_times.h"
#include "rollup/sets/user_set.h"

/* Begins as zeros; ordered by offset. */
typedef struct
{
	uint32 n;
	bool is_lost; /* there were more than MINUTE_TIMES_MAX: none are kept */
	MinuteTime *times;
} TimeList;

/*
 * Add the times of a bytea, or n times that are ordered by offset. The list grows in the memory
 * context. Error XX001 if the bytea is damaged.
 */
extern void TimeListAddDatum(MemoryContext context, TimeList *list, Datum times);
extern void TimeListAdd(MemoryContext context, TimeList *list, const MinuteTime *times, uint32 n);

/* The list as a bytea; 0 if it is lost. */
extern Datum TimeListDatum(const TimeList *list);

/* How many events a bytea has the times of. Error XX001 if it is damaged at its beginning. */
extern uint32 TimesCount(Datum times);

/*
 * Count the events of a bytea from low to before high (microseconds in the minute), and add
 * their users to the set. Error XX001 if what is read is damaged.
 */
extern int64 TimesCut(Datum times, uint32 low, uint32 high, UserSet *set);

/*
 * Find the first and the last event of a bytea from low to before high (microseconds in the
 * minute); false if there is none. Error XX001 if what is read is damaged.
 */
extern bool TimesEnds(Datum times, uint32 low, uint32 high, uint32 *first, uint32 *last);

#endif
