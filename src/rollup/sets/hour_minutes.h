/*
 * hour_minutes.h
 *
 * Packed minutes: what the row of a closed hour keeps of its minutes. For each minute it has
 * the number of events, which of the hour's users there were, and, if they are kept, the times
 * of the events (see time_list.h). They are packed into a bytea that can be read only together
 * with the hour's set of users, an fi_user_set.
 */
#ifndef FAST_INGEST_HOUR_MINUTES_H
#define FAST_INGEST_HOUR_MINUTES_H

#include "datatype/timestamp.h"

#include "rollup/sets/time_list.h"

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

/*
 * Add times of events to a minute from 0 to 59, to which their events and users are added, too:
 * a bytea as in rows of level minute. Error XX001 if it is damaged.
 */
extern void HourMinutesAddTimes(HourMinutes *hour, int minute, Datum times);

/* Events and users of a minute from 0 to 59. The set stays the hour's. */
extern void HourMinutesGet(HourMinutes *hour, int minute, int64 *events, UserSet **users);

/* The times of a minute's events, as a bytea; 0 if they are not complete. */
extern Datum HourMinutesGetTimes(HourMinutes *hour, int minute);

/*
 * Pack the minutes. Times of a minute are left out where they are not complete, and all are left
 * out if there are more than MINUTE_TIMES_MAX. Error 54000 for more than 71,582,788 users, or
 * for a bytea that would be over 1 GB; 22023 if times have a user who is not among the users.
 */
extern Datum HourMinutesDatum(HourMinutes *hour);

/* The events of each minute. Error XX001 if the value is damaged. */
extern void HourMinutesEvents(Datum minutes, int64 events[MINS_PER_HOUR]);

/*
 * Add the events and users of the minutes from first to before last (0 to 60) to *events and to
 * a set, without unpacking the others. Error XX001 as HourMinutesRead, 22003 if the sum of
 * events is out of range.
 */
extern void HourMinutesSum(Datum users, Datum minutes, int first, int last, int64 *events,
						   UserSet *set);

/* Are the times of a minute's events kept? Error XX001 if what tells it is damaged. */
extern bool HourMinutesHasTimes(Datum minutes, int minute);

/*
 * Count the events of a minute from low to before high (microseconds in the minute), and add
 * their users to the set. Only this minute is read. Error XX001 if its times are not kept, and
 * as HourMinutesRead.
 */
extern int64 HourMinutesCut(Datum users, Datum minutes, int minute, uint32 low, uint32 high,
							UserSet *set);

/*
 * Find the first and the last event of a minute from low to before high; false if there is none.
 * Errors as HourMinutesCut.
 */
extern bool HourMinutesEnds(Datum minutes, int minute, uint32 low, uint32 high, uint32 *first,
							uint32 *last);

#endif
