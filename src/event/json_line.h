/*
 * json_line.h
 *
 * Values of events as JSON, on one line. Texts are valid UTF-8 already, as PostgreSQL checks
 * it; they are escaped and not checked again. Links without a server.
 */
#ifndef FAST_INGEST_JSON_LINE_H
#define FAST_INGEST_JSON_LINE_H

#include "datatype/timestamp.h"
#include "lib/stringinfo.h"

#include "base/text_slice.h"

/* A text as a JSON string; null where there is none. */
extern void JsonLineText(StringInfo line, Slice text);

/* A UUID of 16 bytes as a string; null where there is none. */
extern void JsonLineUuid(StringInfo line, const uint8 *uuid);

/*
 * A time as a string of ISO 8601 in UTC, "2026-01-31T12:00:00.000001Z", with as many digits of
 * the year as it has but at least four, and " BC" behind it as PostgreSQL writes it. Infinite
 * times are "infinity" and "-infinity".
 */
extern void JsonLineTime(StringInfo line, TimestampTz ts);

/* An unsigned number. */
extern void JsonLineNumber(StringInfo line, uint64 number);

/* A finite time by the calendar, in UTC. Year 0 is 1 BC. */
typedef struct
{
	int year;
	int month; /* 1 to 12 */
	int day;   /* 1 to 31 */
	int hour;
	int minute;
	int second;
	int microsecond;
} CalendarTime;

extern void CalendarTimeSplit(TimestampTz ts, CalendarTime *time);

/* Append "YYYY-MM-DD", a separator and "hh:mm:ss.uuuuuu"; the year must not be negative. */
extern void CalendarTimeAppend(StringInfo line, const CalendarTime *time, char separator);

#endif
