/*
 * page.h
 *
 * Pages of a grouped answer. A page ends with a cursor: the place of its last group
 * in the order of groups, which is the time of hours and days, and the total and the
 * key of other groups. The next page begins behind this place, whether or not the group
 * is still there.
 */
#ifndef FAST_INGEST_PAGE_H
#define FAST_INGEST_PAGE_H

#include "lib/stringinfo.h"

#include "query/request_parameters.h"

/* A page of an answer: rows first <= i < end. */
typedef struct
{
	int first;
	int end;
} AnswerPage;

/* The page that is asked for; error 22023 for a cursor that is none of ours. */
extern AnswerPage AnswerPageChoose(const MetricsRequest *request, const MetricsAnswer *answer);

/* The cursor that stands for a row, in hexadecimal digits: it goes into a URL as it is. */
extern void AnswerPageCursor(StringInfo cursor, const MetricsQuery *query, const MetricsRow *row);

#endif
