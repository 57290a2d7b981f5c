/*
 * query_parameters.h
 *
 * The parameters of a request's target, in the form in which query workers read them. Links
 * without a server.
 */
#ifndef FAST_INGEST_QUERY_PARAMETERS_H
#define FAST_INGEST_QUERY_PARAMETERS_H

#include "lib/stringinfo.h"

#define MAX_PARAMETERS 32

/* Set it to zeros and initialize text before the first parameter is added. */
typedef struct
{
	StringInfoData text; /* name NUL value NUL ... */
	int n;
	const char *error; /* constant text: what is wrong with the parameter name, or NULL */
	char name[64];	   /* cut */
} Parameters;

/*
 * Add a parameter, unescaped. A NUL must follow name and value; value may be NULL. A
 * parameter is not added if it is not text in UTF-8, is given twice, is one too many, or is
 * an API key: false, with error and name set.
 */
extern bool ParametersAdd(Parameters *parameters, const char *name, size_t name_len,
						  const char *value, size_t value_len);

/* Is it text in UTF-8, without a NUL? */
extern bool ParametersAreText(const char *data, size_t len);

#endif
