/*
 * kafka_rest.c
 *
 * Kafka through a REST proxy: Redpanda's HTTP Proxy, or Confluent's REST Proxy with API v2. A
 * batch is one POST to /topics/TOPIC of records in binary form, see event_line.c. A record has
 * key and value and nothing else, because Redpanda's parser refuses all other fields. The body
 * is never compressed: neither proxy decompresses one.
 *
 * A proxy answers 200 even if records failed, so every entry of the answer is read. After any
 * failure the whole batch is sent again. Redpanda's answer tells only which partitions failed, not
 * which records. Confluent's names them, but to send just those would put them behind later
 * records of the same key that were written. Sent as a whole, the last copy of each user's events
 * is complete and in order. One request is in flight at a time, for the same reason.
 *
 * Neither proxy has an idempotent producer, so this is at least once; consumers can drop doubles by
 * the field id of the value.
 *
 * Outcomes: a record that is too large or invalid is refused, and so is a body that is too large
 * (413); halving finds the record. Everything else is the target's problem and is tried again, also
 * 400, which Redpanda answers while a partition has no leader.
 */
#include "postgres.h"

#include "stream/sink/event_line.h"
#include "stream/sink/kafka_answer.h"
#include "stream/sink/push_sink.h"

#define KAFKA_TIMEOUT 60000 /* ms */

/* Of the names of topics; Kafka's own. */
#define TOPIC_LENGTH_MAX 249

/* Confluent's proxy answers with an entry for each record, which may have an error's text. */
#define ANSWER_BYTES_PER_ROW 512

typedef struct
{
	PushSink push;
	char *path;
	StringInfoData value; /* buffer of kafka_encode() */
} KafkaRest;

static void
kafka_encode(Sink *sink, const StreamEvent *event, StringInfo line)
{
	KafkaRest *kafka = (KafkaRest *) sink;

	EventLineRecord(line, sink->stream, event, &kafka->value);
}

/*
 * Judge an answer that has entries
 */
static void
judge_entries(const KafkaAnswer *answer, int nrows, SinkResult *result)
{
	const char *name = KafkaErrorName(answer->error_code);

	if (answer->failed > 0)
		PushSinkNote(result, answer->record_refused ? SINK_ROW_REFUSED : SINK_AGAIN,
					 "%d of %d entries of the answer are errors, the first: %d%s%s%s%s%s",
					 answer->failed, answer->entries, answer->error_code, name != NULL ? " (" : "",
					 name != NULL ? name : "", name != NULL ? ")" : "",
					 answer->text[0] != '\0' ? ": " : "", answer->text);
	else if (answer->entries == 0 || answer->entries > nrows || answer->written < answer->entries)
		PushSinkNote(result, SINK_AGAIN,
					 "the answer has %d entries for %d records, and %d of them have an offset",
					 answer->entries, nrows, answer->written);
	else
		result->outcome = SINK_DONE;
}

static void
judge_status(int status, const KafkaAnswer *answer, const char *topic, SinkResult *result)
{
	/* the text of such an answer may quote what was sent */
	bool quotes = status == 400 || status == 422;
	const char *text = answer->readable && !quotes ? answer->text : "";
	const char *name = answer->readable ? KafkaErrorName(answer->error_code) : NULL;

	if (text[0] == '\0' && name != NULL)
		text = name;
	if (status == 413)
		PushSinkNote(result, SINK_ROW_REFUSED,
					 "the proxy answered 413: the body is too large, see batch_bytes");
	else if (status >= 200 && status <= 299)
		PushSinkNote(result, SINK_AGAIN, "the proxy answered %d without offsets", status);
	else
		PushSinkNote(result, SINK_AGAIN, "the proxy answered %d to topic \"%s\"%s%s", status, topic,
					 text[0] != '\0' ? ": " : "", text);
}

static void
append_records(StringInfo body, const SinkBatch *batch)
{
	size_t len = sizeof("{\"records\":[]}");

	for (int i = 0; i < batch->nrows; i++)
		len += batch->rows[i].len + 1;
	enlargeStringInfo(body, (int) len);
	appendStringInfoString(body, "{\"records\":[");
	for (int i = 0; i < batch->nrows; i++)
	{
		if (i > 0)
			appendStringInfoChar(body, ',');
		appendBinaryStringInfo(body, batch->rows[i].line, (int) batch->rows[i].len);
	}
	appendStringInfoString(body, "]}");
}

static void
kafka_post(Sink *sink, const SinkBatch *batch, SinkResult *result)
{
	static const char *const headers[] = {"Content-Type: application/vnd.kafka.binary.v2+json",
										  "Accept: application/vnd.kafka.v2+json", NULL};
	KafkaRest *kafka = (KafkaRest *) sink;
	MemoryContext caller = PushSinkBegin(&kafka->push, result);
	WireRequest request = {
		.path = kafka->path,
		.headers = headers,
		.username = sink->stream->username,
		.password = sink->stream->secret,
		.answer_limit = WIRE_BODY_LIMIT + (size_t) batch->nrows * ANSWER_BYTES_PER_ROW,
	};
	WireReply reply;
	StringInfoData body;

	initStringInfo(&body);
	append_records(&body, batch);
	request.body = body.data;
	request.body_len = body.len;
	if (PushSinkPost(&kafka->push, &request, &reply, result))
	{
		KafkaAnswer answer;

		KafkaAnswerRead(reply.body.data, reply.body.len, &answer);
		/* with 401 and 403 there are entries, too, if the proxy may not write */
		if (answer.readable && (answer.entries > 0 || reply.status == 200))
			judge_entries(&answer, batch->nrows, result);
		else
			judge_status(reply.status, &answer, sink->stream->target, result);
	}
	MemoryContextSwitchTo(caller);
}

static const SinkClass kafka_class = {
	.probe = PushSinkProbe,
	.encode = kafka_encode,
	.post = kafka_post,
	.close = PushSinkClose,
};

static void
check_topic(const Stream *stream)
{
	const char *topic = stream->target;

	if (topic == NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("target of kafka_rest stream \"%s\" is missing", stream->name),
						errhint("Give the name of the topic.")));
	if (topic[0] == '\0' || strlen(topic) > TOPIC_LENGTH_MAX || strcmp(topic, ".") == 0 ||
		strcmp(topic, "..") == 0 ||
		topic[strspn(topic, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")] !=
			'\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("target of kafka_rest stream \"%s\" is \"%s\": expected the name of "
							   "a topic",
							   stream->name, topic),
						errhint("A topic's name has 1 to %d of the characters a-z, A-Z, 0-9, dot, "
								"underscore and hyphen, and is not \".\" or \"..\".",
								TOPIC_LENGTH_MAX)));
}

Sink *
KafkaRestOpen(const Stream *stream)
{
	KafkaRest *kafka = palloc0(sizeof(KafkaRest));

	check_topic(stream);
	if ((stream->username == NULL) != (stream->secret == NULL))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("kafka_rest stream \"%s\" has only one of username and secret",
							   stream->name),
						errhint("Give both, for HTTP Basic authentication, or none of them.")));
	kafka->path = psprintf("topics/%s", stream->target);
	initStringInfo(&kafka->value);
	PushSinkOpen(&kafka->push, &kafka_class, stream, KAFKA_TIMEOUT);
	return &kafka->push.sink;
}
