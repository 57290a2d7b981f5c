/*
 * kafka_answer.c
 *
 * The semantic actions for pg_parse_json. An answer is
 *
 *   {"offsets": [{"partition": 0, "offset": 3, "error_code": null, "error": null}, ...], ...}
 *
 * where Redpanda leaves the errors out if there are none, or, with another status than 200,
 * {"error_code": 40401, "message": "..."}. depth tells where the parser is: 1 in the outer
 * object, 3 in an entry. Everything else is ignored, as both proxies add fields over time.
 *
 * The actions leave the parser by siglongjmp, because they cannot stop it before PostgreSQL 16.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "stream/sink/kafka_answer.h"

#include <setjmp.h>

#include "mb/pg_wchar.h"

#include "base/compat.h"

/* Deeper than any answer; keeps the parser's recursion short. */
#define MAX_DEPTH 16

typedef enum
{
	FIELD_NONE,
	FIELD_OFFSETS,
	FIELD_PARTITION,
	FIELD_OFFSET,
	FIELD_ERROR_CODE,
	FIELD_TEXT
} AnswerField;

typedef struct
{
	KafkaAnswer *answer;
	JsonLexContext *lex;
	sigjmp_buf fail;
	int depth;
	AnswerField field; /* whose value comes next, at depth 1 or 3 */
	bool in_offsets;
	bool seen_offsets;
	/* of the entry at hand */
	bool has_offset;
	bool has_error;
	int code;
	char text[WIRE_MESSAGE_SIZE];
	bool target_failed; /* an entry failed for a reason that lies in the target */
} Reader;

/* Codes of Kafka's protocol, which Redpanda passes on, and those that Confluent's proxy makes. */
static const struct
{
	int code;
	const char *name;
	bool by_record; /* the same record would be refused again */
} kafka_errors[] = {
	{-1, "UNKNOWN_SERVER_ERROR", false},
	{2, "CORRUPT_MESSAGE", false},
	{3, "UNKNOWN_TOPIC_OR_PARTITION", false},
	{5, "LEADER_NOT_AVAILABLE", false},
	{6, "NOT_LEADER_OR_FOLLOWER", false},
	{7, "REQUEST_TIMED_OUT", false},
	{8, "BROKER_NOT_AVAILABLE", false},
	{9, "REPLICA_NOT_AVAILABLE", false},
	{10, "MESSAGE_TOO_LARGE", true},
	{13, "NETWORK_EXCEPTION", false},
	{17, "INVALID_TOPIC_EXCEPTION", false},
	{18, "RECORD_LIST_TOO_LARGE", true},
	{19, "NOT_ENOUGH_REPLICAS", false},
	{20, "NOT_ENOUGH_REPLICAS_AFTER_APPEND", false},
	{29, "TOPIC_AUTHORIZATION_FAILED", false},
	{31, "CLUSTER_AUTHORIZATION_FAILED", false},
	{44, "POLICY_VIOLATION", false},
	{56, "KAFKA_STORAGE_ERROR", false},
	{58, "SASL_AUTHENTICATION_FAILED", false},
	{87, "INVALID_RECORD", true},
	{89, "THROTTLING_QUOTA_EXCEEDED", false},
	{40101, "Kafka refuses the proxy's credentials", false},
	{40301, "Kafka does not let the proxy write to the topic", false},
	{40401, "there is no such topic", false},
	{40402, "there is no such partition", false},
	{40403, "there is no such topic or partition", false},
	{50002, "an error of Kafka that is not worth a retry", false},
	{50003, "an error of Kafka that is worth a retry", false},
};

const char *
KafkaErrorName(int code)
{
	for (size_t i = 0; i < lengthof(kafka_errors); i++)
	{
		if (kafka_errors[i].code == code)
			return kafka_errors[i].name;
	}
	return NULL;
}

/*
 * Is the record at fault? Confluent's proxy has one code for all that is not worth a retry, so the
 * text of the exception must tell that a record is too large.
 */
static bool
is_record_error(int code, const char *text)
{
	if (code == 50002)
		return strstr(text, "when serialized which is larger than") != NULL ||
			   strstr(text, "larger than the max message size") != NULL;
	for (size_t i = 0; i < lengthof(kafka_errors); i++)
	{
		if (kafka_errors[i].code == code)
			return kafka_errors[i].by_record;
	}
	return false;
}

/*
 * Stop parsing: this is no answer of a proxy
 */
pg_noreturn static void fail_answer(Reader *reader);

static void
fail_answer(Reader *reader)
{
	siglongjmp(reader->fail, 1);
}

/* Is the parser among the fields of an entry of "offsets"? */
#define IN_ENTRY(reader) ((reader)->in_offsets && (reader)->depth == 3)

static void
begin_entry(Reader *reader)
{
	reader->has_offset = false;
	reader->has_error = false;
	reader->code = 0;
	reader->text[0] = '\0';
}

static void
end_entry(Reader *reader)
{
	KafkaAnswer *answer = reader->answer;

	answer->entries++;
	if (!reader->has_error)
	{
		if (reader->has_offset)
			answer->written++;
		return;
	}
	if (is_record_error(reader->code, reader->text))
		answer->record_refused = true;
	else
		reader->target_failed = true;
	if (answer->failed++ == 0)
	{
		answer->error_code = reader->code;
		memcpy(answer->text, reader->text, WIRE_MESSAGE_SIZE);
	}
}

static void
enter_container(Reader *reader)
{
	if (reader->depth == 0 && reader->lex->token_type != JSON_TOKEN_OBJECT_START)
		fail_answer(reader);
	if (++reader->depth > MAX_DEPTH)
		fail_answer(reader);
}

static JsonActionResult
begin_object(void *state)
{
	Reader *reader = state;

	enter_container(reader);
	if (IN_ENTRY(reader))
		begin_entry(reader);
	JSON_ACTION_OK;
}

static JsonActionResult
end_object(void *state)
{
	Reader *reader = state;

	if (IN_ENTRY(reader))
		end_entry(reader);
	reader->depth--;
	JSON_ACTION_OK;
}

static JsonActionResult
begin_array(void *state)
{
	Reader *reader = state;

	if (reader->depth == 1 && reader->field == FIELD_OFFSETS)
	{
		if (reader->seen_offsets)
			fail_answer(reader);
		reader->in_offsets = true;
		reader->seen_offsets = true;
	}
	else if (reader->in_offsets && reader->depth == 2)
		fail_answer(reader);
	enter_container(reader);
	JSON_ACTION_OK;
}

static JsonActionResult
end_array(void *state)
{
	Reader *reader = state;

	reader->depth--;
	if (reader->depth == 1)
		reader->in_offsets = false;
	JSON_ACTION_OK;
}

static JsonActionResult
begin_field(void *state, char *name, bool isnull)
{
	Reader *reader = state;

	if (reader->depth != 1 && !IN_ENTRY(reader))
		JSON_ACTION_OK;
	reader->field = FIELD_NONE;
	if (strcmp(name, "error_code") == 0)
		reader->field = FIELD_ERROR_CODE;
	else if (reader->depth == 1 && strcmp(name, "offsets") == 0)
	{
		if (reader->lex->token_type != JSON_TOKEN_ARRAY_START)
			fail_answer(reader);
		reader->field = FIELD_OFFSETS;
	}
	else if (reader->depth == 1 && strcmp(name, "message") == 0)
		reader->field = FIELD_TEXT;
	else if (reader->depth == 3 && strcmp(name, "offset") == 0)
		reader->field = FIELD_OFFSET;
	else if (reader->depth == 3 && strcmp(name, "error") == 0)
		reader->field = FIELD_TEXT;
	JSON_ACTION_OK;
}

/*
 * Take an error code. One that is no number is an error, too.
 */
static void
take_code(Reader *reader, const char *token, JsonTokenType type)
{
	long value = type == JSON_TOKEN_NUMBER ? strtol(token, NULL, 10) : -1;
	int code = value >= PG_INT16_MIN && value <= 99999 ? (int) value : -1;

	if (type == JSON_TOKEN_NULL || value == 0)
		return;
	if (reader->depth == 3)
	{
		reader->has_error = true;
		reader->code = code;
	}
	else
		reader->answer->error_code = code;
}

static JsonActionResult
take_scalar(void *state, char *token, JsonTokenType type)
{
	Reader *reader = state;

	if (reader->depth == 0 || (reader->in_offsets && reader->depth == 2))
		fail_answer(reader);
	if (reader->depth == 1 || IN_ENTRY(reader))
	{
		switch (reader->field)
		{
			case FIELD_OFFSET:
				reader->has_offset = type == JSON_TOKEN_NUMBER && token[0] != '-';
				break;
			case FIELD_ERROR_CODE:
				take_code(reader, token, type);
				break;
			case FIELD_TEXT:
				if (type == JSON_TOKEN_STRING)
					WireMessageCopy(reader->depth == 3 ? reader->text : reader->answer->text, token,
									strlen(token));
				break;
			default:
				break;
		}
	}
	pfree(token);
	JSON_ACTION_OK;
}

void
KafkaAnswerRead(char *body, size_t len, KafkaAnswer *answer)
{
	Reader reader = {.answer = answer};
	JsonSemAction actions = {
		.semstate = &reader,
		.object_start = begin_object,
		.object_end = end_object,
		.array_start = begin_array,
		.array_end = end_array,
		.object_field_start = begin_field,
		.scalar = take_scalar,
	};

	memset(answer, 0, sizeof(*answer));
	if (len > PG_INT32_MAX || pg_encoding_verifymbstr(PG_UTF8, body, (int) len) != (int) len)
		return;
	reader.lex = MakeJsonLexer(body, (int) len);
	if (sigsetjmp(reader.fail, 0) != 0)
		return;
	if (pg_parse_json(reader.lex, &actions) != JSON_SUCCESS)
		return;
	answer->record_refused = answer->record_refused && !reader.target_failed;
	answer->readable = reader.seen_offsets || answer->error_code != 0;
}
