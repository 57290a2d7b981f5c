/*
 * unix_time.h
 *
 * Between Unix times in microseconds, which events have, and TimestampTz, which counts
 * microseconds since 2000-01-01.
 */
#ifndef FAST_INGEST_UNIX_TIME_H
#define FAST_INGEST_UNIX_TIME_H

#include "datatype/timestamp.h"

/* Days from 1970-01-01 to 2000-01-01, where DateADT begins. */
#define UNIX_EPOCH_OFFSET_DAYS (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE)

/* TimestampTz = Unix time - UNIX_EPOCH_OFFSET */
#define UNIX_EPOCH_OFFSET ((int64) UNIX_EPOCH_OFFSET_DAYS * USECS_PER_DAY)

/* The UTC day of a Unix time that is not negative, in days since 1970-01-01. */
#define EVENT_DAY(time) ((int32) ((time) / USECS_PER_DAY))

#endif
