/*
 * metrics_time.c
 *
 * Times as questions have them. Links without a server.
 */
#include "postgres.h"

#include "rollup/metrics/metrics.h"

#include "event/timestamp.h"
#include "base/unix_time.h"

bool
MetricsParseTime(const char *text, TimestampTz *time, const char **wrong)
{
	int64_t unix_time;

	if (!TimestampRead(text, strlen(text), &unix_time, wrong))
		return false;
	*time = unix_time - UNIX_EPOCH_OFFSET;
	return true;
}
