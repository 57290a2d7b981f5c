/*
 * webhook.c
 *
 * A webhook: a batch is one POST of lines of JSON (NDJSON), with the headers of Standard
 * Webhooks 1.0. webhook-id, and with it Idempotency-Key, is the id of the batch, so it is the same
 * whenever the batch is sent again; webhook-timestamp is the time of the attempt.
 *
 * The signature is over the lines, whether they are compressed on their way or not: frameworks
 * undo Content-Encoding before they hand a body to the code that verifies it. So a receiver that
 * sees the compressed bytes must decompress them first.
 *
 * Outcomes: 2xx is success, and 410 pauses the stream. 400, 413 and 422 may be about one row, which
 * halving finds. Everything else, redirects included, is the receiver's problem and is tried again.
 */
#include "postgres.h"

#include <time.h>

#include "stream/sink/event_line.h"
#include "stream/sink/push_sink.h"
#include "stream/sink/webhook_signature.h"

#define WEBHOOK_TIMEOUT 30000 /* ms */

typedef struct
{
	PushSink push;
	WebhookSecrets secrets; /* none: nothing is signed */
} Webhook;

static void
webhook_encode(Sink *sink, const StreamEvent *event, StringInfo line)
{
	EventLineJson(line, sink->stream, event);
}

static void
judge_status(int status, const Stream *stream, SinkResult *result)
{
	if (status >= 200 && status <= 299)
		result->outcome = SINK_DONE;
	else if (status >= 300 && status <= 399)
		PushSinkNote(result, SINK_AGAIN, "the receiver answered %d: redirects are not followed",
					 status);
	else if (status == 410)
		PushSinkNote(result, SINK_PAUSE,
					 "the receiver answered 410: it asks not to be called again");
	else if (status == 413)
		PushSinkNote(result, SINK_ROW_REFUSED,
					 "the receiver answered 413: the body is too large, see batch_bytes");
	else if (status == 400 || status == 422)
		PushSinkNote(result, SINK_ROW_REFUSED, "the receiver answered %d", status);
	else if (status == 415 && stream->compression != STREAM_COMPRESS_NONE)
		PushSinkNote(result, SINK_AGAIN,
					 "the receiver answered 415: it may take no compressed body");
	else
		PushSinkNote(result, SINK_AGAIN, "the receiver answered %d", status);
}

static void
append_lines(StringInfo body, const SinkBatch *batch)
{
	size_t len = 0;

	for (int i = 0; i < batch->nrows; i++)
		len += batch->rows[i].len + 1;
	enlargeStringInfo(body, (int) len);
	for (int i = 0; i < batch->nrows; i++)
	{
		appendBinaryStringInfo(body, batch->rows[i].line, (int) batch->rows[i].len);
		appendStringInfoChar(body, '\n');
	}
}

static void
webhook_post(Sink *sink, const SinkBatch *batch, SinkResult *result)
{
	Webhook *webhook = (Webhook *) sink;
	MemoryContext caller = PushSinkBegin(&webhook->push, result);
	int64 now = (int64) time(NULL);
	char signature[WEBHOOK_SIGNATURE_SIZE];
	const char *headers[] = {"Content-Type: application/x-ndjson",
							 psprintf("webhook-id: %s", batch->id),
							 psprintf("Idempotency-Key: %s", batch->id),
							 psprintf("webhook-timestamp: " INT64_FORMAT, now),
							 NULL,
							 NULL};
	WireRequest request = {.headers = headers, .compression = sink->stream->compression};
	WireReply reply;
	StringInfoData body;

	initStringInfo(&body);
	append_lines(&body, batch);
	request.body = body.data;
	request.body_len = body.len;
	if (webhook->secrets.n > 0)
	{
		if (!WebhookSign(&webhook->secrets, batch->id, now, (Slice){body.data, body.len},
						 signature))
			ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR),
							errmsg("could not compute the signature of a webhook")));
		headers[4] = psprintf("webhook-signature: %s", signature);
	}
	if (PushSinkPost(&webhook->push, &request, &reply, result))
		judge_status(reply.status, sink->stream, result);
	MemoryContextSwitchTo(caller);
}

static void
webhook_close(Sink *sink)
{
	Webhook *webhook = (Webhook *) sink;

	explicit_bzero(&webhook->secrets, sizeof(webhook->secrets));
	PushSinkClose(sink);
}

static const SinkClass webhook_class = {
	.probe = PushSinkProbe,
	.encode = webhook_encode,
	.post = webhook_post,
	.close = webhook_close,
};

/*
 * Read the signing secrets. An ERROR says what is wrong and does not show them.
 */
static void
read_secrets(const Stream *stream, WebhookSecrets *secrets)
{
	const char *wrong;

	if (stream->secret == NULL)
		return;
	wrong = WebhookSecretsRead(stream->secret, secrets);
	if (wrong != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid secret of webhook stream \"%s\"", stream->name),
				 errdetail("The secret is not valid: %s.", wrong),
				 errhint("Give \"whsec_\" and base64 of 24 to 64 bytes, as \"echo whsec_$(openssl "
						 "rand -base64 32)\" prints it, or several, separated by blanks.")));
}

Sink *
WebhookOpen(const Stream *stream)
{
	Webhook *webhook = palloc0(sizeof(Webhook));

	if (stream->target != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("target of webhook stream \"%s\" is \"%s\": expected none",
							   stream->name, stream->target),
						errhint("The url is all that a webhook has.")));
	if (stream->username != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("username of webhook stream \"%s\" is \"%s\": expected none",
							   stream->name, stream->username),
						errhint("The secret of a webhook signs what is sent.")));
	read_secrets(stream, &webhook->secrets);
	PushSinkOpen(&webhook->push, &webhook_class, stream, WEBHOOK_TIMEOUT);
	return &webhook->push.sink;
}
