/*
 * statement.h
 *
 * The statements that write fast_ingest.rollup. Needs SPI.
 */
#ifndef FAST_INGEST_STATEMENT_H
#define FAST_INGEST_STATEMENT_H

#include "datatype/timestamp.h"

/* What identifies a row of fast_ingest.rollup, but for its parts (see merge_write.c). */
#define KEY_COLUMNS "breakdown, level, event_name, bucket, scope, key, is_other, is_other_name"

/*
 * Run one of our statements; %1$s stands for the schema of our functions. Its
 * parameters are two times, $1 and $2. Returns the number of rows.
 */
extern uint64 RollupStatement(const char *statement, TimestampTz first, TimestampTz second);

#endif
