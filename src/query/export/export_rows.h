/*
 * export_rows.h
 *
 * The rows of an export, one after the other, in the active snapshot.
 *
 * They are read in slices of time, so that nothing is sorted but the rows of a slice. The next
 * slice is longer if the last one had few rows, and shorter if it had many: from a minute, or
 * less, to a day.
 */
#ifndef FAST_INGEST_EXPORT_ROWS_H
#define FAST_INGEST_EXPORT_ROWS_H

#include "access/htup.h"
#include "access/tupdesc.h"

#include "query/export/export_parameters.h"

/* The columns of a row. */
enum
{
	EXPORT_EVENT_NAME = 1,
	EXPORT_CHANNEL,
	EXPORT_USER_ID,
	EXPORT_TS,
	EXPORT_CAMPAIGN_ID,
	EXPORT_SITE_ID,
	EXPORT_PATH,
	EXPORT_TAGS,
	EXPORT_METADATA,
	EXPORT_EVENT_KEY,
	EXPORT_INGESTED_AT,
	EXPORT_HASH
};

/* Valid until the next row is read. */
typedef struct
{
	HeapTuple tuple;
	TupleDesc desc;
	ExportPlace place;
} ExportRow;

typedef struct ExportRows ExportRows;

/*
 * What the export does besides: called before and after each step that takes time, so that each
 * has a limit of its own.
 */
typedef struct
{
	void (*begin_step)(void);
	void (*end_step)(void);
} ExportSteps;

/* Begin to read the rows that parameters ask for. Needs SPI, for as long as rows are read. */
extern ExportRows *ExportRowsOpen(const ExportParameters *parameters, const ExportSteps *steps);

/* Read the next row; false at the end. */
extern bool ExportRowsNext(ExportRows *rows, ExportRow *row);

#endif
