/*
 * value_list.h
 *
 * Several values in one parameter, with commas between them: "\," is a comma of a value, and
 * "\\" a backslash. No function here raises an error or allocates memory.
 */
#ifndef FAST_INGEST_VALUE_LIST_H
#define FAST_INGEST_VALUE_LIST_H

#include <stddef.h>

/*
 * Read the first value of a list, and set the list to those behind it, or to NULL if there is
 * none. value has room for the list's text and a NUL. Returns what is expected instead, as
 * constant text, if the value is empty or has a backslash before any other character; else NULL.
 */
extern const char *ValueListNext(const char **list, char *value);

#endif
