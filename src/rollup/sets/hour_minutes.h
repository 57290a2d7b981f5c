/*
 * hour_minutes.h
 *
 * What the row of a closed hour keeps of its minutes: how many events each had
 * and which of the hour's users, packed into a bytea that is read together with
 * the hour's set of users (an fi_user_set).
 */
#ifndef FAST_INGEST_HOUR_MINUTES_H
#define FAST_INGEST_HOUR_MINUTES_H

#include "rollup/sets/user_set.h"

/*
 * An hour taken apart: 60 minutes, each with events and a set of users. Lives in
 * the memory context that was current when it was made.
 */
typedef struct HourMinutes HourMinutes;

extern HourMinutes *HourMinutesCreate(void);

/* Take a row apart. Error XX001 if it is damaged or the two do not belong together. */
extern HourMinutes *HourMinutesRead(Datum users, Datum minutes);

/*
 * Add to a minute; users may be NULL. Errors 22023 for a minute that is none
 * and for negative events, 22003 if the sum of events is out of range.
 */
extern void HourMinutesAdd(HourMinutes *hour, int minute, int64 events, const UserSet *users);

/* The same with an fi_user_set. */
extern void HourMinutesAddDatum(HourMinutes *hour, int minute, int64 events, Datum users);

/* One minute of it. The set stays the hour's. */
extern void HourMinutesGet(HourMinutes *hour, int minute, int64 *events, UserSet **users);

/* The bytea. Error 54000 for more than 71,582,788 users, or if it would be over 1 GB. */
extern Datum HourMinutesDatum(HourMinutes *hour);

/*
 * Add the minutes first <= minute < last of a row to *events and to set, without
 * taking the whole row apart. Errors as HourMinutesRead and HourMinutesAdd.
 */
extern void HourMinutesSum(Datum users, Datum minutes, int first, int last, int64 *events,
						   UserSet *set);

#endif
