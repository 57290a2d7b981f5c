/*
 * write_csv.h
 *
 * Parts of CSV answers. Each function appends to a text.
 */
#ifndef FAST_INGEST_WRITE_CSV_H
#define FAST_INGEST_WRITE_CSV_H

#include "lib/stringinfo.h"

/*
 * A client's text as a field. It is quoted where RFC 4180 requires it, and also where a
 * spreadsheet could take a semicolon or a tab for the separator. A text that would be a formula
 * gets an apostrophe before it. NULL is an empty field.
 */
extern void WriteCsvText(StringInfo text, const char *value);

/* ",true" or ",false" */
extern void WriteCsvBool(StringInfo text, bool value);

/* ",1,1" */
extern void WriteCsvCounts(StringInfo text, int64 total_events, int64 unique_users);

#endif
