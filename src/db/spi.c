/*
 * spi.c
 *
 * The one place that checks what SPI returns.
 */
#include "postgres.h"

#include "db/spi.h"

#include "catalog/pg_type.h"
#include "nodes/params.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

/*
 * Return to the caller's memory context, check the result, return SPI_processed
 */
static uint64
finish_call(MemoryContext caller, const char *statement, int result, int expected_result)
{
	MemoryContextSwitchTo(caller);
	if (result < 0 || (expected_result != SPI_ANY_RESULT && result != expected_result))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
						errmsg("unexpected result of \"%s\": %s", statement,
							   SPI_result_code_string(result))));
	return SPI_processed;
}

uint64
SpiRun(const char *statement, int expected_result)
{
	return SpiRunWith(statement, expected_result, 0, NULL, NULL);
}

void
SpiRunFormat(int expected_result, const char *format, ...)
{
	va_list args;
	char statement[1024];
	int len;

	va_start(args, format);
	len = vsnprintf(statement, sizeof(statement), format, args);
	va_end(args);
	if (len >= (int) sizeof(statement))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("statement is too long: %s", statement)));
	(void) SpiRun(statement, expected_result);
}

uint64
SpiRunWith(const char *statement, int expected_result, int n, Oid *types, Datum *values)
{
	return SpiRunWithNulls(statement, expected_result, n, types, values, NULL);
}

uint64
SpiRunWithTimes(const char *statement, TimestampTz first, TimestampTz second)
{
	Oid types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum values[] = {TimestampTzGetDatum(first), TimestampTzGetDatum(second)};

	return SpiRunWith(statement, SPI_ANY_RESULT, lengthof(types), types, values);
}

uint64
SpiRunWithNulls(const char *statement, int expected_result, int n, Oid *types, Datum *values,
				const char *nulls)
{
	MemoryContext caller = CurrentMemoryContext;
	int result = SPI_execute_with_args(statement, n, types, values, nulls, false, 0);

	return finish_call(caller, statement, result, expected_result);
}

uint64
SpiRunAt(Snapshot snapshot, const char *statement, int expected_result, int n, Oid *types,
		 Datum *values)
{
	MemoryContext caller = CurrentMemoryContext;
	SPIPlanPtr plan = SPI_prepare(statement, n, types);
	int result = plan == NULL ? SPI_result
							  : SPI_execute_snapshot(plan, values, NULL, snapshot, InvalidSnapshot,
													 false, true, 0);

	return finish_call(caller, statement, result, expected_result);
}

uint64
SpiSelect(const char *statement, int64 limit, int n, Oid *types, Datum *values)
{
	MemoryContext caller = CurrentMemoryContext;
	int result = SPI_execute_with_args(statement, n, types, values, NULL, true, (long) limit);

	return finish_call(caller, statement, result, SPI_OK_SELECT);
}

uint64
SpiSelectPlan(SPIPlanPtr plan, Datum *values)
{
	MemoryContext caller = CurrentMemoryContext;
	int result = SPI_execute_plan(plan, values, NULL, true, 0);

	return finish_call(caller, "a prepared plan", result, SPI_OK_SELECT);
}

/* A destination of rows that calls a visitor. */
typedef struct
{
	DestReceiver receiver;
	MemoryContext caller;
	SpiRowVisitor visitor;
	void *arg;
} RowReceiver;

static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	RowReceiver *rows = (RowReceiver *) self;
	MemoryContext context = MemoryContextSwitchTo(rows->caller);

	rows->visitor(slot, rows->arg);
	MemoryContextSwitchTo(context);
	return true;
}

static void
begin_rows(DestReceiver *self, int operation, TupleDesc desc)
{
}

static void
end_rows(DestReceiver *self)
{
}

uint64
SpiVisitPlan(SPIPlanPtr plan, int n, const Oid *types, const Datum *values, SpiRowVisitor visitor,
			 void *arg)
{
	RowReceiver rows = {.receiver = {.receiveSlot = receive_row,
									 .rStartup = begin_rows,
									 .rShutdown = end_rows,
									 .rDestroy = end_rows,
									 /* what SPI calls DestNone discards its rows */
									 .mydest = DestTuplestore},
						.caller = CurrentMemoryContext,
						.visitor = visitor,
						.arg = arg};
	SPIExecuteOptions options = {
		.params = makeParamList(n), .read_only = true, .dest = &rows.receiver};

	for (int i = 0; i < n; i++)
		options.params->params[i] =
			(ParamExternData){.value = values[i],
							  .isnull = values[i] == (Datum) 0 && !get_typbyval(types[i]),
							  .pflags = PARAM_FLAG_CONST,
							  .ptype = types[i]};
	return finish_call(rows.caller, "a prepared plan", SPI_execute_plan_extended(plan, &options),
					   SPI_OK_SELECT);
}

int64
SpiInt64(int column)
{
	bool isnull;

	return DatumGetInt64(
		SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, &isnull));
}

SPIPlanPtr
SpiPrepare(const char *statement, int n, Oid *types, int cursor_options)
{
	MemoryContext caller = CurrentMemoryContext;
	SPIPlanPtr plan = SPI_prepare_cursor(statement, n, types, cursor_options);

	MemoryContextSwitchTo(caller);
	if (plan == NULL || SPI_keepplan(plan) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not prepare \"%s\": %s", statement,
														 SPI_result_code_string(SPI_result))));
	return plan;
}

void
SpiShow(const char *name, TupleDesc desc, Tuplestorestate *store, int n)
{
	EphemeralNamedRelation relation = palloc0(sizeof(EphemeralNamedRelationData));

	relation->md.name = pstrdup(name);
	relation->md.reliddesc = InvalidOid;
	relation->md.tupdesc = desc;
	relation->md.enrtype = ENR_NAMED_TUPLESTORE;
	relation->md.enrtuples = n;
	relation->reldata = store;
	if (SPI_register_relation(relation) != SPI_OK_REL_REGISTER)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not register \"%s\"", name)));
}
