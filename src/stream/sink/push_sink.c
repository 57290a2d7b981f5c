/*
 * push_sink.c
 *
 * The common part of the sinks that only push.
 */
#include "postgres.h"

#include "stream/sink/push_sink.h"

#include "utils/memutils.h"

#define CONNECT_TIMEOUT 10000 /* ms */

void
PushSinkOpen(PushSink *push, const SinkClass *class, const Stream *stream, long timeout)
{
	WireConfig config = {
		.url = stream->url,
		.ca_file = stream->ca_file,
		.cert_file = stream->cert_file,
		.key_file = stream->key_file,
		.connect_timeout = CONNECT_TIMEOUT,
		.timeout = timeout,
	};

	push->sink.class = class;
	push->sink.stream = stream;
	push->wire = WireOpen(&config);
	push->post_context =
		AllocSetContextCreate(CurrentMemoryContext, "stream post", ALLOCSET_DEFAULT_SIZES);
}

void
PushSinkProbe(Sink *sink, SinkResult *result)
{
	memset(result, 0, sizeof(*result));
	result->outcome = SINK_DONE;
	sink->guarantee = "at least once";
}

void
PushSinkClose(Sink *sink)
{
	PushSink *push = (PushSink *) sink;

	WireClose(push->wire);
	MemoryContextDelete(push->post_context);
}

MemoryContext
PushSinkBegin(PushSink *push, SinkResult *result)
{
	memset(result, 0, sizeof(*result));
	MemoryContextReset(push->post_context);
	return MemoryContextSwitchTo(push->post_context);
}

bool
PushSinkPost(PushSink *push, const WireRequest *request, WireReply *reply, SinkResult *result)
{
	WirePost(push->wire, request, push->sink.go_on, push->sink.go_on_arg, reply);
	result->bytes_sent = reply->bytes_sent;
	result->retry_after = reply->retry_after;
	if (reply->outcome == WIRE_ANSWERED)
		return true;
	result->outcome = reply->outcome == WIRE_NOT_SENT ? SINK_AGAIN : SINK_IN_DOUBT;
	strlcpy(result->message, reply->message, SINK_MESSAGE_SIZE);
	return false;
}

void
PushSinkNote(SinkResult *result, SinkOutcome outcome, const char *format, ...)
{
	va_list args;

	result->outcome = outcome;
	va_start(args, format);
	vsnprintf(result->message, SINK_MESSAGE_SIZE, format, args);
	va_end(args);
}
