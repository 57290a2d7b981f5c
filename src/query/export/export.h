/*
 * export.h
 *
 * Makes the answer to GET /export.
 */
#ifndef FAST_INGEST_EXPORT_H
#define FAST_INGEST_EXPORT_H

#include "query/export/export_rows.h"

/* What the answer is handed over to. */
typedef struct
{
	ExportSteps steps;

	/*
	 * Take a piece of at most size bytes. Before the first one *begin is called: is it CSV, and
	 * where does the next page begin ("": there is none)?
	 */
	void (*begin)(bool csv, const char *next_cursor);
	void (*put)(const char *data, size_t size, bool last);
	size_t size;
} ExportTarget;

/*
 * Make the answer in the active snapshot, and hand it over. list holds the request's parameters,
 * name NUL value NUL ..., and is len bytes long. Needs SPI. An error 22023 before the first piece
 * for a parameter that is unknown or not allowed; other errors at any time.
 */
extern void ExportRun(const ExportTarget *target, const char *list, size_t len);

#endif
