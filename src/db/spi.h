/*
 * spi.h
 *
 * Running statements through SPI, by a caller that has connected to it. The functions return
 * with the caller's memory context as the current one, where SPI would leave its own. They
 * raise an ERROR if the result of a statement is not the expected one (like SPI_OK_INSERT).
 * They return SPI_processed; rows are in SPI_tuptable.
 */
#ifndef FAST_INGEST_SPI_H
#define FAST_INGEST_SPI_H

#include "datatype/timestamp.h"
#include "executor/spi.h"
#include "executor/tuptable.h"
#include "utils/tuplestore.h"

/* In place of a result like SPI_OK_INSERT: any result will do. */
#define SPI_ANY_RESULT 0

/* Run a statement, without parameters or with n of them. */
extern uint64 SpiRun(const char *statement, int expected_result);
extern uint64 SpiRunWith(const char *statement, int expected_result, int n, Oid *types,
						 Datum *values);

/* Run a statement of any kind whose parameters $1 and $2 are timestamptz. */
extern uint64 SpiRunWithTimes(const char *statement, TimestampTz first, TimestampTz second);

/* Format a statement and run it. An ERROR if it has 1024 bytes or more. */
extern void SpiRunFormat(int expected_result, const char *format, ...) pg_attribute_printf(2, 3);

/* As SpiRunWith(); nulls has 'n' where a parameter is NULL, ' ' elsewhere. */
extern uint64 SpiRunWithNulls(const char *statement, int expected_result, int n, Oid *types,
							  Datum *values, const char *nulls);

/* Run a statement that sees what a snapshot shows, and the later changes of this transaction. */
extern uint64 SpiRunAt(Snapshot snapshot, const char *statement, int expected_result, int n,
					   Oid *types, Datum *values);

/*
 * Read rows in the active snapshot, by a statement or a prepared plan. limit is the largest
 * number of rows; 0 is no limit.
 */
extern uint64 SpiSelect(const char *statement, int64 limit, int n, Oid *types, Datum *values);
extern uint64 SpiSelectPlan(SPIPlanPtr plan, Datum *values);

/* Is given a row of a result. Everything in the slot is valid during the call only. */
typedef void (*SpiRowVisitor)(TupleTableSlot *slot, void *arg);

/*
 * Read rows of a prepared plan with n parameters, of which those of a type that is passed by
 * reference are NULL if they are 0. Calls a visitor for each row as it is found, in the memory
 * context of the caller: rows are not copied, so what the visitor does not look at costs nothing.
 */
extern uint64 SpiVisitPlan(SPIPlanPtr plan, int n, const Oid *types, const Datum *values,
						   SpiRowVisitor visitor, void *arg);

/* Prepare a statement. The plan stays until SPI_freeplan() or the end of the process. */
extern SPIPlanPtr SpiPrepare(const char *statement, int n, Oid *types, int cursor_options);

/* A column, counted from 1, of the first row in SPI_tuptable: of type bigint; 0 for NULL. */
extern int64 SpiInt64(int column);

/*
 * Show the n tuples of a tuplestore to statements as a relation of that name, until
 * SPI_finish() or SPI_unregister_relation(). The current memory context must live as long.
 */
extern void SpiShow(const char *name, TupleDesc desc, Tuplestorestate *store, int n);

#endif
