/*
 * prometheus_text.c
 *
 * See prometheus_text.h.
 */
#include "postgres.h"

#include "http/answer/prometheus_text.h"

#include "base/unix_time.h"

void
PrometheusTextFamily(StringInfo out, const char *name, const char *type, const char *help)
{
	appendStringInfo(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void
PrometheusTextValue(StringInfo out, const char *name, const char *type, const char *help,
					uint64 value)
{
	PrometheusTextFamily(out, name, type, help);
	appendStringInfo(out, "%s " UINT64_FORMAT "\n", name, value);
}

void
PrometheusTextQuote(StringInfo out, const char *value)
{
	appendStringInfoChar(out, '"');
	for (; *value != '\0'; value++)
	{
		if (*value == '"' || *value == '\\')
			appendStringInfoChar(out, '\\');
		if (*value == '\n')
			appendStringInfoString(out, "\\n");
		else
			appendStringInfoChar(out, *value);
	}
	appendStringInfoChar(out, '"');
}

double
PrometheusTextSeconds(TimestampTz when)
{
	return (double) (when + UNIX_EPOCH_OFFSET) / MICROSECONDS;
}

void
PrometheusTextMoment(StringInfo out, const char *name, const char *help, TimestampTz when)
{
	if (when == 0)
		return;
	PrometheusTextFamily(out, name, "gauge", help);
	appendStringInfo(out, "%s %.6f\n", name, PrometheusTextSeconds(when));
}

void
PrometheusTextHistogram(StringInfo out, const char *name, const char *route,
						const HistogramTotal *total, const int64 *bounds, double unit)
{
	char label[64] = "";
	char labels[64] = "";
	uint64 count = 0;

	if (route != NULL)
	{
		snprintf(label, sizeof(label), "route=\"%s\",", route);
		snprintf(labels, sizeof(labels), "{route=\"%s\"}", route);
	}
	for (int i = 0; i < HISTOGRAM_BOUNDS; i++)
	{
		count += total->buckets[i];
		appendStringInfo(out, "%s_bucket{%sle=\"%g\"} " UINT64_FORMAT "\n", name, label,
						 bounds[i] / unit, count);
	}
	count += total->buckets[HISTOGRAM_BOUNDS];
	appendStringInfo(out, "%s_bucket{%sle=\"+Inf\"} " UINT64_FORMAT "\n", name, label, count);
	appendStringInfo(out, "%s_sum%s %.15g\n", name, labels, total->sum / unit);
	appendStringInfo(out, "%s_count%s " UINT64_FORMAT "\n", name, labels, count);
}
