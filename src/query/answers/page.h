/*
 * page.h
 *
 * Pages of a grouped answer. The cursor of the next page names the last group of this page
 * by its place in the order of the groups: hours and days by time, other groups by total
 * and key. The next page begins with the first group behind that place, even if the named
 * group no longer exists.
 */
#ifndef FAST_INGEST_PAGE_H
#define FAST_INGEST_PAGE_H

#include "lib/stringinfo.h"

#include "query/parameters/request_parameters.h"

/* A page of an answer: rows first <= i < end. */
typedef struct
{
	int first;
	int end;
} AnswerPage;

/* How many names or keys a page has at most; 0: all. */
extern int AnswerPageLimit(const MetricsParameters *parameters);

/* Find the page that is asked for. An error 22023 for a cursor that no answer has given. */
extern AnswerPage AnswerPageFind(const MetricsParameters *parameters, const MetricsAnswer *answer);

/*
 * Append the cursor of the page behind a page that is not empty: hexadecimal digits, which
 * need no escaping in a URL.
 */
extern void AnswerPageAppendCursor(StringInfo cursor, const MetricsAnswer *answer, AnswerPage page);

#endif
