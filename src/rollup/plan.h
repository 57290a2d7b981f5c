/*
 * plan.h
 *
 * How an answer is put together: which times are read from rows of days, hours
 * and minutes, and which from raw rows.
 */
#ifndef FAST_INGEST_PLAN_H
#define FAST_INGEST_PLAN_H

#include "rollup/dirty.h"
#include "rollup/merge.h"

typedef struct
{
	SpanList days;
	SpanList hours;
	SpanList packed;  /* minutes of closed hours; no span leaves its hour */
	SpanList minutes; /* of open hours */
	SpanList raw;
} AnswerPlan;

/*
 * Add what answers the times from low to high (later than all that was added
 * before) of a breakdown kept at levels from finest up, some of it dirty. Times that cut
 * a bucket of the finest level, and dirty ones, are raw.
 */
extern void PlanAdd(AnswerPlan *plan, TimestampTz low, TimestampTz high, RollupLevel finest,
					const RollupState *state, const SpanList *dirty);

#endif
