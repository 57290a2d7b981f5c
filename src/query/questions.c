/*
 * questions.c
 */
#include "postgres.h"

#include "query/questions.h"

#include "query/operation/operation.h"

const Question Questions[NUM_QUERY_KINDS] = {
	[QUERY_METRICS] = {"GET /metrics", AnswerMetrics},
	[QUERY_SERIES] = {"GET /series", AnswerSeries},
	[QUERY_OVERVIEW] = {"GET /overview", AnswerOverview},
	[QUERY_EVENT_NAMES] = {"GET /event_names", AnswerEventNames},
	[QUERY_LIVE] = {"GET /live", AnswerLive},
	[QUERY_STATS] = {"GET /stats", AnswerStats},
	[QUERY_STATUS] = {"GET /status", AnswerStatus},
	[QUERY_RETRY] = {"POST /dead_letters/retry", AnswerRetry, .writes = true},
	/* which is no answer in one piece: see serve_export.c */
	[QUERY_EXPORT] = {"GET /export", NULL},
};
