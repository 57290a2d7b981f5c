/*
 * timestamp.h
 *
 * A time as a client may write it: the one reader of events' timestamps, and of
 * the bounds of questions.
 */
#ifndef FAST_INGEST_TIMESTAMP_H
#define FAST_INGEST_TIMESTAMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is allowed, for messages. */
#define TIMESTAMP_EXPECTED \
	"Unix seconds (also milli-, micro- or nanoseconds, told apart by size), or a date-time " \
	"with a zone, such as 2024-08-12T15:13:32Z"

/*
 * Read a time to microseconds since 1970. What is below a microsecond is cut off.
 *
 * A number, with an optional fraction and exponent, is Unix time: seconds, above 1e11
 * milliseconds, above 1e14 microseconds, above 1e17 nanoseconds.
 *
 * A date-time is that of RFC 3339 or ISO 8601, with the liberties that programs take:
 * a blank or lower case in place of T, no seconds, a comma before the fraction, no
 * separators or slashes in the date, blanks around and before the zone; the zone is
 * Z, UTC, GMT, or an offset of hours, or of hours and minutes with or without a colon.
 *
 * False for anything else; then wrong is constant text that goes behind the value.
 */
extern bool TimestampRead(const char *text, size_t len, int64_t *microseconds, const char **wrong);

#endif
