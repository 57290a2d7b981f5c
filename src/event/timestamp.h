/*
 * timestamp.h
 *
 * The three ways a client may write a time.
 */
#ifndef FAST_INGEST_TIMESTAMP_H
#define FAST_INGEST_TIMESTAMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Read a JSON number: Unix seconds with an optional fraction, or, for an
 * integer above 1e11, milliseconds. False when it is not representable.
 */
extern bool TimestampFromNumber(const char *text, size_t len, int64_t *microseconds);

/*
 * Read an RFC 3339 date-time ("2015-05-17T10:05:03.25+02:00"). False when it
 * is anything else.
 */
extern bool TimestampFromRfc3339(const char *text, size_t len, int64_t *microseconds);

#endif
