/*
 * event_line.h
 *
 * An event as a line of JSON, for targets that take what they get: a webhook, and Kafka's REST
 * proxies.
 *
 * Each event has an id, the same whenever its batch is sent again: its event_key, else
 * EPOCH-TIMELINE-LSN-n, or EPOCH-TIMELINE-pPARTITION-BACKFILL-n if a backfill reads it. Receivers
 * can use it to drop doubles.
 *
 * Links without a server.
 */
#ifndef FAST_INGEST_EVENT_LINE_H
#define FAST_INGEST_EVENT_LINE_H

#include "postgres.h"

#include "lib/stringinfo.h"

#include "stream/stream.h"

/* {"id": ..., and the columns of the stream, with null where they are NULL} */
extern void EventLineJson(StringInfo line, const Stream *stream, const StreamEvent *event);

/*
 * A record of Kafka's REST proxies, in their binary form: {"key": ..., "value": ...}, both
 * base64. The value is the line that EventLineJson() makes. The key is the user_id, so that the
 * events of a user stay in order; without a user_id, or if the stream does not carry that column,
 * there is no key. value is a buffer that the caller keeps.
 */
extern void EventLineRecord(StringInfo line, const Stream *stream, const StreamEvent *event,
							StringInfo value);

#endif
