/*
 * hour_minutes.h
 *
 * Packed minutes: what the row of a closed hour keeps of its minutes. For each minute it has
 * the number of events, and which of the hour's users there were. They are packed into a bytea
 * that can be read only together with the hour's set of users, an fi_user_set.
 */
#ifndef FAST_INGEST_HOUR_MINUTES_H
#define FAST_INGEST_HOUR_MINUTES_H

#include "rollup/sets/user_set.h"

/*
 * An unpacked hour: 60 minutes, each with a number of events and a set of users. It lives in the
 * memory context that was current when it was created.
 */
typedef struct HourMinutes HourMinutes;

/* Create an hour without events and users. */
extern HourMinutes *HourMinutesCreate(void);

/*
 * Unpack the minutes of an hour's users. Error XX001 if either is damaged, or if they do not
 * belong together.
 */
extern HourMinutes *HourMinutesRead(Datum users, Datum minutes);

/*
 * Add events and users to a minute; users may be NULL. Error 22023 for a minute that is not
 * between 0 and 59 or for negative events, 22003 if the sum of events is out of range.
 */
extern void HourMinutesAdd(HourMinutes *hour, int minute, int64 events, const UserSet *users);

/* The same with an fi_user_set. Error XX001 if it is damaged, too. */
extern void HourMinutesAddDatum(HourMinutes *hour, int minute, int64 events, Datum users);

/* Events and users of a minute from 0 to 59. The set stays the hour's. */
extern void HourMinutesGet(HourMinutes *hour, int minute, int64 *events, UserSet **users);

/*
 * Pack the minutes. Error 54000 for more than 71,582,788 users, or for a bytea that would be
 * over 1 GB.
 */
extern Datum HourMinutesDatum(HourMinutes *hour);

/*
 * Add the events and users of the minutes from first to before last (0 to 60) to *events and to
 * a set, without unpacking the others. Error XX001 as HourMinutesRead, 22003 if the sum of
 * events is out of range.
 */
extern void HourMinutesSum(Datum users, Datum minutes, int first, int last, int64 *events,
						   UserSet *set);

#endif
