/*
 * event_names.c
 */
#include "postgres.h"

#include "rollup/questions/event_names.h"

#include "rollup/metrics/metrics_private.h"
#include "rollup/questions/event_times.h"

EventNamesAnswer *
EventNamesCompute(const MetricsQuery *query)
{
	MetricsQuery by_event = *query;
	MetricsSession session;
	MetricsAnswer *counts;
	EventNamesAnswer *answer;
	MetricsRun run;
	EventTimes *times;

	by_event.group_by = "event";
	MetricsSessionBegin(&session);
	MetricsRunBegin(&run, &by_event);
	MetricsRunCount(&run);
	counts = MetricsRunAnswer(&run);
	answer = palloc0(sizeof(EventNamesAnswer));
	answer->n = counts->nrows;
	answer->names = palloc_extended(Max(answer->n, 1) * sizeof(EventName), MCXT_ALLOC_HUGE);
	times = palloc_extended(Max(answer->n, 1) * sizeof(EventTimes), MCXT_ALLOC_HUGE);
	for (int i = 0; i < answer->n; i++)
		times[i] = (EventTimes){.name = counts->rows[i].group};
	EventTimesFind(&run, times, answer->n);
	for (int i = 0; i < answer->n; i++)
		answer->names[i] = (EventName){counts->rows[i].group, counts->rows[i].total_events,
									   counts->rows[i].unique_users, times[i].first, times[i].last};
	answer->range = counts->range;
	answer->sources = run.sources;
	MetricsSessionEnd(&session);
	return answer;
}
