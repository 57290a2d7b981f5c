/*
 * statement.h
 *
 * The statements that write fast_ingest.rollup. Needs SPI.
 */
#ifndef FAST_INGEST_STATEMENT_H
#define FAST_INGEST_STATEMENT_H

#include "datatype/timestamp.h"

/* What identifies a row of fast_ingest.rollup, but for its parts (see merge_flush.c). */
#define KEY_COLUMNS "breakdown, level, event_name, bucket, scope, key, is_other, is_other_name"

/* Do two rows have the same scope and key, and are they of the same event_name? */
#define SAME_NAME(a, b) \
	a ".event_name = " b ".event_name AND " a ".is_other_name = " b ".is_other_name"
#define SAME_KEY(a, b) \
	a ".scope = " b ".scope AND " a ".key = " b ".key AND " a ".is_other = " b ".is_other"

/*
 * Run one of our statements; %1$s stands for the schema of our functions. Its
 * parameters are two times, $1 and $2. Returns the number of rows.
 */
extern uint64 RollupStatement(const char *statement, TimestampTz first, TimestampTz second);

#endif
