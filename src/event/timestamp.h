/*
 * timestamp.h
 *
 * Reads times as clients write them, both timestamps of events and bounds of queries.
 */
#ifndef FAST_INGEST_TIMESTAMP_H
#define FAST_INGEST_TIMESTAMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What clients may write, for messages. */
#define TIMESTAMP_EXPECTED \
	"Unix seconds (also milli-, micro- or nanoseconds, told apart by size), or a date-time " \
	"with a zone, such as 2024-08-12T15:13:32Z"

/*
 * Read a time as microseconds since 1970. Fractions of a microsecond are cut off.
 *
 * A number, with an optional fraction and exponent, is a Unix time: in seconds; in
 * milliseconds if it is above 1e11, in microseconds above 1e14, in nanoseconds above 1e17.
 *
 * A date-time is one of RFC 3339 or ISO 8601, with variations that programs use: a blank
 * or lower case in place of T, no seconds, a comma before the fraction, no separators or
 * slashes in the date, and blanks around the text and before the zone. The zone is Z, UTC,
 * GMT, or an offset of hours, or of hours and minutes with or without a colon.
 *
 * Returns false for anything else; then wrong is constant text for a message, to be put
 * behind the value.
 */
extern bool TimestampRead(const char *text, size_t len, int64_t *microseconds, const char **wrong);

#endif
