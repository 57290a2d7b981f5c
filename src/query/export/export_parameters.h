/*
 * export_parameters.h
 *
 * The parameters of GET /export.
 */
#ifndef FAST_INGEST_EXPORT_PARAMETERS_H
#define FAST_INGEST_EXPORT_PARAMETERS_H

#include "utils/uuid.h"

#include "query/parameters/parameter_table.h"

/*
 * A place in the order of an export: by ts, then by event_key, those without one behind the others
 * and by a hash of the row. Rows that have all three in common are counted.
 */
typedef struct
{
	TimestampTz ts;
	bool has_key;
	pg_uuid_t key;
	int64 hash; /* without a key */
	int64 n;	/* rows at this place, up to here */
} ExportPlace;

/* The longest text of a place, with its NUL. */
#define EXPORT_CURSOR_SIZE 100

typedef struct
{
	MetricsQuery query; /* only its event_name, range and filters */
	int limit;			/* most rows; 0: all */
	const char *cursor; /* NULL: not given */
	ExportPlace behind; /* what the cursor says: the place of the last row of the page before */
	bool csv;
} ExportParameters;

/* The parameters of GET /export. Any other may be a filter: see FiltersRequireKnown. */
extern const ParameterTable ExportParameterTable;

/*
 * Read a list of parameters, name NUL value NUL ..., that is len bytes long. Texts of the result
 * point into the list. An error 22023 for a parameter that is unknown, empty or of a wrong value.
 */
extern void ExportParametersRead(ExportParameters *parameters, const char *list, size_t len);

/* Print a place as a cursor, which needs no escaping in a URL. */
extern void ExportCursorPrint(const ExportPlace *place, char cursor[EXPORT_CURSOR_SIZE]);

#endif
