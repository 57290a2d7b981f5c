/*
 * kafka_answer_fuzz.c
 *
 * Fuzzes the reader of answers of Kafka's REST proxies, with the whole input as the body.
 *
 * For any bytes: the counts fit together, a success is never read out of an answer with an error
 * in it, and the text is one line of printable ASCII.
 */
#include "postgres_fe.h"

#include "arena.h"
#include "stream/sink/kafka_answer.h"

static void
require(bool condition)
{
	if (!condition)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* an allocation of exactly that size, so that the sanitizer notices any byte too far */
	char *body = malloc(size + 1);
	KafkaAnswer answer;

	memcpy(body, data, size);
	body[size] = '\0';
	KafkaAnswerRead(body, size, &answer);
	require(memcmp(body, data, size) == 0);
	require(memchr(answer.text, '\0', sizeof(answer.text)) != NULL);
	for (const char *p = answer.text; *p != '\0'; p++)
		require(*p >= ' ' && *p <= '~');
	if (answer.readable)
	{
		require(answer.written >= 0 && answer.failed >= 0);
		require(answer.written + answer.failed <= answer.entries);
		require(answer.failed == 0 || answer.error_code != 0);
		require(!answer.record_refused || answer.failed > 0);
	}
	free(body);
	arena_reset();
	return 0;
}
