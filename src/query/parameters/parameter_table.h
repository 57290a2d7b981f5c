/*
 * parameter_table.h
 *
 * The parameters of a request are read by a table that says which there are, how each value is
 * read, and which field of a structure it sets. Links without a server.
 */
#ifndef FAST_INGEST_PARAMETER_TABLE_H
#define FAST_INGEST_PARAMETER_TABLE_H

#include "base/compat.h"
#include "rollup/metrics/metrics.h"

/* Reads a value into a field: see parameter_values.h. */
typedef void (*ParameterReader)(const char *name, const char *value, void *field);

typedef struct
{
	const char *name;
	ParameterReader read;
	size_t offset; /* of the field */
} Parameter;

typedef struct
{
	const Parameter *parameters;
	int n;
	bool filters; /* a parameter of any other name is a filter */
} ParameterTable;

/*
 * Read a list of parameters, name NUL value NUL ..., that is len bytes long, into a structure,
 * whose texts point into the list. The filters among them are added to the query, with names
 * that may be unknown. An error 22023 for a parameter that is unknown, empty or of a wrong value.
 */
extern void ParameterTableRead(const ParameterTable *table, const char *list, size_t len,
							   void *structure, MetricsQuery *query);

/* Raise the error 22023 for a parameter that is neither in the table nor a filter. */
pg_noreturn extern void ParameterTableRefuse(const ParameterTable *table, const char *name);

#endif
