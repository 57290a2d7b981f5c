/*
 * write_json.c
 */
#include "postgres.h"

#include "query/answers/write_json.h"

#include "utils/json.h"
#include "utils/timestamp.h"

#include "base/unix_time.h"

void
WriteTextMember(StringInfo text, const char *member, const char *value)
{
	appendStringInfo(text, "\"%s\":", member);
	escape_json(text, value);
}

void
WriteTime(StringInfo text, TimestampTz time)
{
	int64 unix_us = time + UNIX_EPOCH_OFFSET;
	int64 us = unix_us % USECS_PER_SEC;

	appendStringInfo(text, "%s" INT64_FORMAT, unix_us < 0 && unix_us > -USECS_PER_SEC ? "-" : "",
					 unix_us / USECS_PER_SEC);
	if (us == 0)
		return;
	appendStringInfo(text, ".%06d", abs((int) us));
	while (text->data[text->len - 1] == '0')
		text->data[--text->len] = '\0';
}

void
WriteCounts(StringInfo text, int64 total_events, int64 unique_users)
{
	appendStringInfo(text, "\"total_events\":" INT64_FORMAT ",\"unique_users\":" INT64_FORMAT,
					 total_events, unique_users);
}

static void
write_bound(StringInfo text, const char *member, TimestampTz time)
{
	appendStringInfo(text, "\"%s\":", member);
	WriteTime(text, time);
	appendStringInfoChar(text, ',');
}

void
WriteRange(StringInfo text, TimeRange range, bool has_from, bool has_to)
{
	if (has_from)
		write_bound(text, "from", range.low);
	if (has_to)
		write_bound(text, "to", range.high);
}

void
WritePoints(StringInfo text, const SeriesPoint *points, int n)
{
	for (int i = 0; i < n; i++)
	{
		appendStringInfoString(text, i > 0 ? ",{\"time\":" : "{\"time\":");
		WriteTime(text, points[i].time);
		appendStringInfoChar(text, ',');
		WriteCounts(text, points[i].total_events, points[i].unique_users);
		appendStringInfoChar(text, '}');
	}
}

void
WriteRows(StringInfo text, const char *member, const MetricsRow *rows, int n)
{
	for (int i = 0; i < n; i++)
	{
		appendStringInfoString(text, i > 0 ? ",{" : "{");
		if (rows[i].group != NULL)
			WriteTextMember(text, member, rows[i].group);
		else
			appendStringInfo(text, "\"%s\":null,\"other\":true", member);
		appendStringInfoChar(text, ',');
		WriteCounts(text, rows[i].total_events, rows[i].unique_users);
		appendStringInfoChar(text, '}');
	}
}

void
WriteLive(StringInfo text, const LiveAnswer *live)
{
	appendStringInfoString(text, "\"last_5_minutes\":{");
	WriteCounts(text, live->events_5, live->users_5);
	appendStringInfoString(text, "},\"last_30_minutes\":{");
	WriteCounts(text, live->events_30, live->users_30);
	appendStringInfoString(text, "},\"minutes\":[");
	WritePoints(text, live->minutes, LIVE_MINUTES);
	appendStringInfoChar(text, ']');
}
