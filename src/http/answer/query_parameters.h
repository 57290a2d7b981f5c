/*
 * query_parameters.h
 *
 * The parameters of a request's target, on their way to a query worker. Links
 * without a server.
 */
#ifndef FAST_INGEST_QUERY_PARAMETERS_H
#define FAST_INGEST_QUERY_PARAMETERS_H

#include "lib/stringinfo.h"

#define MAX_PARAMETERS 32

/* To be set to zeros, with text initialized, before the first one is added. */
typedef struct
{
	StringInfoData text; /* name NUL value NUL ... */
	int n;
	const char *error; /* about the parameter name, or NULL */
	char name[64];
} Parameters;

/*
 * Add a parameter, unescaped, with a NUL behind name and value; value may be NULL.
 * False, with error and name set, for one that is not text, is given twice, or is
 * one too many.
 */
extern bool ParametersAdd(Parameters *parameters, const char *name, size_t name_len,
						  const char *value, size_t value_len);

#endif
