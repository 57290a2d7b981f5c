/*
 * argument.h
 *
 * Arguments of the SQL functions that ask questions.
 */
#ifndef FAST_INGEST_ARGUMENT_H
#define FAST_INGEST_ARGUMENT_H

#include "fmgr.h"
#include "utils/builtins.h"

/* A text, or NULL. */
static inline const char *
TextArgument(FunctionCallInfo fcinfo, int number)
{
	return PG_ARGISNULL(number) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(number));
}

#endif
