/*
 * questions.c
 */
#include "postgres.h"

#include "query/questions.h"

const Question Questions[NUM_QUERY_KINDS] = {
	[QUERY_METRICS] = {"GET /metrics", AnswerMetrics},
	[QUERY_SERIES] = {"GET /series", AnswerSeries},
	[QUERY_EVENT_NAMES] = {"GET /event_names", AnswerEventNames},
	[QUERY_LIVE] = {"GET /live", AnswerLive},
	[QUERY_STATS] = {"GET /stats", AnswerStats},
	/* which is no answer in one piece: see serve_export.c */
	[QUERY_EXPORT] = {"GET /export", NULL},
};
