/*
 * stream_filter.c
 *
 * Which events a stream carries.
 */
#include "postgres.h"

#include "stream/stream.h"

/*
 * Is a value among those of a filter? NULL is in none.
 */
static bool
passes(StreamFilter filter, Slice value)
{
	if (filter == NULL)
		return true;
	if (value.data == NULL)
		return false;
	for (char **wanted = filter; *wanted != NULL; wanted++)
		if (IsText(value.data, value.len, *wanted))
			return true;
	return false;
}

bool
StreamWants(const Stream *stream, const StreamEvent *event)
{
	return passes(stream->event_names, event->event_name) &&
		   passes(stream->sites, event->site_id) && passes(stream->channels, event->channel);
}
