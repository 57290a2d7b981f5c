/*
 * push_sink.h
 *
 * What the sinks have in common that only push: a webhook, and Kafka's REST proxies. They cannot
 * be asked what they have, so they get a batch again whenever it is not known to have arrived: at
 * least once. Nothing is cleared or counted there.
 */
#ifndef FAST_INGEST_PUSH_SINK_H
#define FAST_INGEST_PUSH_SINK_H

#include "stream/sink/sink.h"

typedef struct
{
	Sink sink;
	Wire *wire;
	MemoryContext post_context; /* of one post */
} PushSink;

/* Open the wire. timeout is that of a request, in ms. An ERROR for a wrong URL or file. */
extern void PushSinkOpen(PushSink *push, const SinkClass *class, const Stream *stream,
						 long timeout);

/* For the class: nothing is looked at before the first row. */
extern void PushSinkProbe(Sink *sink, SinkResult *result);
extern void PushSinkClose(Sink *sink);

/*
 * Begin a post: empties post_context, which is then the current memory context, and the result.
 * Returns the former one, which the caller makes current again.
 */
extern MemoryContext PushSinkBegin(PushSink *push, SinkResult *result);

/* Post a request. False if no whole answer came; then result says why. */
extern bool PushSinkPost(PushSink *push, const WireRequest *request, WireReply *reply,
						 SinkResult *result);

/* Note the outcome of an answer, and a message. */
extern void PushSinkNote(SinkResult *result, SinkOutcome outcome, const char *format, ...)
	pg_attribute_printf(3, 4);

#endif
