/*
 * metrics_time.c
 *
 * Times as questions have them. Links without a server.
 */
#include "postgres.h"

#include "rollup/metrics.h"

#include "event/timestamp.h"
#include "event/tuple.h"

bool
MetricsParseTime(const char *text, TimestampTz *time)
{
	size_t len = strlen(text);
	bool is_number = len > 0 && strspn(text, "0123456789.") == len && text[0] != '.';
	int64_t unix_time;

	if (!(is_number && TimestampFromNumber(text, len, &unix_time)) &&
		!TimestampFromRfc3339(text, len, &unix_time))
		return false;
	*time = unix_time - UNIX_EPOCH_OFFSET;
	return true;
}
