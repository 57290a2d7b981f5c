/*
 * kafka_answer_test.c
 *
 * Answers of Kafka's REST proxies: those of Redpanda's own tests, those that Confluent's source
 * makes, and bodies that are no answers.
 */
#include "postgres_fe.h"

#include "stream/sink/kafka_answer.h"
#include "tap.h"

static KafkaAnswer
read_answer(const char *body)
{
	char *copy = strdup(body);
	KafkaAnswer answer;

	KafkaAnswerRead(copy, strlen(copy), &answer);
	free(copy);
	return answer;
}

static void
is_answer(const char *body, int entries, int written, int failed, int code, const char *text,
		  bool record_refused)
{
	KafkaAnswer answer = read_answer(body);

	ok(answer.readable && answer.entries == entries && answer.written == written &&
		   answer.failed == failed && answer.error_code == code && strcmp(answer.text, text) == 0 &&
		   answer.record_refused == record_refused,
	   "%s", body);
}

static void
is_no_answer(const char *body)
{
	ok(!read_answer(body).readable, "no answer: %.60s", body);
}

int
main(void)
{
	/* Redpanda */
	is_answer("{\"offsets\":[{\"partition\":0,\"offset\":3}]}", 1, 1, 0, 0, "", false);
	is_answer("{\"offsets\":[{\"partition\":0,\"error_code\":3,\"offset\":-1}]}", 1, 0, 1, 3, "",
			  false);
	is_answer("{\"offsets\":[{\"partition\":1,\"offset\":0},"
			  "{\"partition\":0,\"error_code\":10,\"offset\":-1}]}",
			  2, 1, 1, 10, "", true);
	is_answer("{\"error_code\":40801,\"message\":\"slow\"}", 0, 0, 0, 40801, "slow", false);

	/* Confluent */
	is_answer("{\"offsets\":[{\"partition\":0,\"offset\":1,\"error_code\":null,\"error\":null},"
			  "{\"partition\":null,\"offset\":null,\"error_code\":50003,\"error\":\"Expiring 1 "
			  "record(s)\"}],\"key_schema_id\":null,\"value_schema_id\":null}",
			  2, 1, 1, 50003, "Expiring 1 record(s)", false);
	is_answer("{\"offsets\":[{\"partition\":null,\"offset\":null,\"error_code\":50002,\"error\":"
			  "\"The message is 9 bytes when serialized which is larger than 8\"}]}",
			  1, 0, 1, 50002, "The message is 9 bytes when serialized which is larger than 8",
			  true);
	is_answer("{\"offsets\":[{\"error_code\":50002,\"error\":\"The request included a message "
			  "larger than the max message size the server will accept.\"},"
			  "{\"error_code\":50003,\"error\":\"again\"}]}",
			  2, 0, 2, 50002,
			  "The request included a message larger than the max message size the server will "
			  "accept.",
			  false);
	is_answer("{\"offsets\":[{\"error_code\":50002,\"error\":\"Invalid topic\"}]}", 1, 0, 1, 50002,
			  "Invalid topic", false);
	is_answer("{\"error_code\":40403,\"message\":\"no \\u00e4 topic\\n.\"}", 0, 0, 0, 40403,
			  "no ?? topic .", false);

	/* entries that say nothing, and what is not known */
	is_answer("{\"offsets\":[]}", 0, 0, 0, 0, "", false);
	is_answer("{\"offsets\":[{}]}", 1, 0, 0, 0, "", false);
	is_answer("{\"offsets\":[{\"offset\":-1}]}", 1, 0, 0, 0, "", false);
	is_answer("{\"offsets\":[{\"offset\":\"7\"}]}", 1, 0, 0, 0, "", false);
	is_answer("{\"offsets\":[{\"offset\":5,\"error_code\":0}]}", 1, 1, 0, 0, "", false);
	is_answer("{\"offsets\":[{\"offset\":5,\"error_code\":\"x\"}]}", 1, 0, 1, -1, "", false);
	is_answer("{\"offsets\":[{\"offset\":5,\"error_code\":99999999999999999999}]}", 1, 0, 1, -1, "",
			  false);
	is_answer(
		"{\"later\":{\"offsets\":[{\"error_code\":1}]},\"offsets\":[{\"more\":[{\"offset\":1}],"
		"\"offset\":2}]}",
		1, 1, 0, 0, "", false);

	is_no_answer("");
	is_no_answer("{}");
	is_no_answer("[]");
	is_no_answer("7");
	is_no_answer("<html>");
	is_no_answer("{\"offsets\":[{\"partition\":0,\"offset\":3}]");
	is_no_answer("{\"offsets\":{\"offset\":3}}");
	is_no_answer("{\"offsets\":[3]}");
	is_no_answer("{\"offsets\":[[{\"offset\":3}]]}");
	is_no_answer("{\"offsets\":null}");
	is_no_answer("{\"offsets\":[],\"offsets\":[{\"offset\":3}]}");
	is_no_answer("{\"message\":\"\\u0000\",\"error_code\":1}");
	is_no_answer("{\"message\":\"\xff\",\"error_code\":1}");
	is_no_answer("{\"offsets\":[{\"offset\":1,\"deep\":[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]}]}");

	ok(strcmp(KafkaErrorName(10), "MESSAGE_TOO_LARGE") == 0 && KafkaErrorName(12345) == NULL,
	   "names of errors");
	return tap_done();
}
