/*
 * kafka_answer.h
 *
 * Reads the answers of Kafka's REST proxies: Redpanda's HTTP Proxy, which has an entry for each
 * partition that it wrote to, and Confluent's REST Proxy (API v2), which has one for each record.
 * An entry may be an error although the status is 200.
 *
 * Links without a server.
 */
#ifndef FAST_INGEST_KAFKA_ANSWER_H
#define FAST_INGEST_KAFKA_ANSWER_H

#include <stdbool.h>
#include <stddef.h>

#include "stream/wire/wire_message.h"

typedef struct
{
	bool readable; /* the body is JSON of the form that the proxies answer with */
	int entries;   /* of "offsets" */
	int written;   /* of these, with an offset and no error */
	int failed;	   /* of these, with an error; others have neither */
	/*
	 * Of the first entry that failed, or of the whole answer if it is an error: the code, 0 for
	 * none, and the proxy's text.
	 */
	int error_code;
	char text[WIRE_MESSAGE_SIZE];
	/* among the entries that failed are some whose record is at fault, and none that is the
	 * target's problem: the same records would be refused again */
	bool record_refused;
} KafkaAnswer;

/*
 * Read the body of an answer, which is NUL-terminated. Wrong bodies of any kind are not
 * readable; the rest of the answer then says nothing. Allocates in the current memory context.
 */
extern void KafkaAnswerRead(char *body, size_t len, KafkaAnswer *answer);

/* What an error code means, or NULL. */
extern const char *KafkaErrorName(int code);

#endif
