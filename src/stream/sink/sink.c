/*
 * sink.c
 *
 * From the kind of a stream to the sink that serves it.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "stream/sink/sink.h"

typedef Sink *(*SinkOpener)(const Stream *stream);

/* By StreamKind. */
static const SinkOpener openers[NUM_STREAM_KINDS] = {[STREAM_CLICKHOUSE] = ClickHouseOpen,
													 [STREAM_KAFKA_REST] = KafkaRestOpen,
													 [STREAM_WEBHOOK] = WebhookOpen};

Sink *
SinkOpen(const Stream *stream)
{
	if (openers[stream->kind] == NULL)
		elog(ERROR, "a stream of kind %d has no sink", (int) stream->kind);
	return openers[stream->kind](stream);
}

void
SinkCheckDefinition(const Stream *stream)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "stream definition check",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	Sink *sink = SinkOpen(stream);

	sink->class->close(sink);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
}
