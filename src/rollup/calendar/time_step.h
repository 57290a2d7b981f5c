/*
 * time_step.h
 *
 * The steps of charts: their names, and which one suits a range.
 */
#ifndef FAST_INGEST_TIME_STEP_H
#define FAST_INGEST_TIME_STEP_H

#include "rollup/calendar/calendar.h"

/* Points that the step "auto" aims at, at most. */
#define AUTO_STEP_POINTS 300

/*
 * Read a step: its name ("1m" to "1mo"), a unit ("minute", "hour", "day", "week", "month"), or an
 * interval as Grafana writes it ("500ms", "30s", "2m", "12h", "7d", "1w", "1M", "1y"), which is
 * rounded up to the next step, and down to a month if it is longer. A week is STEP_WEEK. False for
 * anything else.
 */
extern bool TimeStepRead(const char *text, CalendarStep *step);

/* The name of a step. */
extern const char *TimeStepName(CalendarStep step);

/* The smallest step, at least as wide as given, of which a range has AUTO_STEP_POINTS or fewer. */
extern CalendarStep TimeStepChoose(TimestampTz low, TimestampTz high, int64 least_width);

#endif
