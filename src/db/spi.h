/*
 * spi.h
 *
 * Running statements through SPI. They come back in the caller's memory context,
 * where SPI would leave its own behind, and end in an ERROR if a statement is not
 * of the kind that is expected. What they return is SPI_processed; rows are in
 * SPI_tuptable.
 */
#ifndef FAST_INGEST_SPI_H
#define FAST_INGEST_SPI_H

#include "executor/spi.h"
#include "datatype/timestamp.h"
#include "utils/tuplestore.h"

/* In place of a result like SPI_OK_INSERT: whatever the statement does is right. */
#define SPI_ANY_RESULT 0

/* Run a statement, without parameters or with n of them. */
extern uint64 SpiRun(const char *statement, int expected_result);
extern uint64 SpiRunWith(const char *statement, int expected_result, int n, Oid *types,
						 Datum *values);

/* Run a statement of any kind whose parameters $1 and $2 are timestamptz. */
extern uint64 SpiRunWithTimes(const char *statement, TimestampTz first, TimestampTz second);

/* Make a statement, of less than 1024 bytes, and run it. */
extern void SpiRunFormat(int expected_result, const char *format, ...) pg_attribute_printf(2, 3);

/* The same as SpiRunWith; nulls has 'n' where a parameter is NULL, ' ' elsewhere. */
extern uint64 SpiRunWithNulls(const char *statement, int expected_result, int n, Oid *types,
							  Datum *values, const char *nulls);

/* Run a statement that sees what a snapshot shows and what the transaction has done since. */
extern uint64 SpiRunAt(Snapshot snapshot, const char *statement, int expected_result, int n,
					   Oid *types, Datum *values);

/*
 * Read rows in the active snapshot, by a statement or a prepared plan; no more
 * than limit of them, unless that is 0.
 */
extern uint64 SpiSelect(const char *statement, int64 limit, int n, Oid *types, Datum *values);
extern uint64 SpiSelectPlan(SPIPlanPtr plan, Datum *values);

/* Prepare a statement for the rest of the process, or until SPI_freeplan. */
extern SPIPlanPtr SpiPrepare(const char *statement, int n, Oid *types, int cursor_options);

/* What the last statement returned: the first column of its first row, a bigint. */
extern int64 SpiFirstInt64(void);

/*
 * Show n tuples to statements as a relation of that name, until the connection
 * to SPI ends or SPI_unregister_relation. The current memory context must live as
 * long.
 */
extern void SpiShow(const char *name, TupleDesc desc, Tuplestorestate *store, int n);

#endif
