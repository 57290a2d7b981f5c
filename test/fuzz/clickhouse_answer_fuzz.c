/*
 * clickhouse_answer_fuzz.c
 *
 * Fuzzes the reader of ClickHouse's answers. The first byte of an input chooses the status,
 * the second the length of the header with the code, which stands before the body.
 *
 * What must hold for any bytes: a message is one line of printable ASCII; only status 200
 * without a code is good; the fields of a result lie in it, in their order.
 */
#include "stream/clickhouse/clickhouse_answer.h"

#include <stdint.h>
#include <stdlib.h>

static void
require(bool condition)
{
	if (!condition)
		abort();
}

static void
check_answer(int status, Slice code, Slice body, bool is_insert)
{
	ClickHouseAnswer answer;

	ClickHouseAnswerRead(status, code, body, is_insert, &answer);
	require(strlen(answer.message) < WIRE_MESSAGE_SIZE);
	for (const char *p = answer.message; *p != '\0'; p++)
		require(*p >= ' ' && *p < 0x7F);
	if (answer.meaning == CLICKHOUSE_OK)
		require(status == 200 && code.data == NULL && (!is_insert || body.len == 0) &&
				answer.message[0] == '\0');
	else
		require(answer.message[0] != '\0' && answer.code >= 0);
}

static void
check_lines(Slice body)
{
	char *text = malloc(body.len + 1);
	size_t position = 0;
	ClickHouseLine line;

	if (body.len > 0)
		memcpy(text, body.data, body.len);
	while (ClickHouseLineRead(text, body.len, &position, &line))
	{
		const char *before = text;
		unsigned long long number;

		require(position <= body.len && line.nfields > 0 && line.nfields <= CLICKHOUSE_MAX_FIELDS);
		for (int i = 0; i < line.nfields; i++)
		{
			require(line.fields[i].data >= before &&
					line.fields[i].data + line.fields[i].len < text + position);
			before = line.fields[i].data + line.fields[i].len;
			(void) ClickHouseNumber(line.fields[i], &number);
			(void) ClickHouseVersion(line.fields[i]);
		}
	}
	require(position <= body.len);
	free(text);
}

extern int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int statuses[] = {200, 200, 400, 404, 413, 500, 502, 302};
	Slice code = {NULL, 0};
	Slice body;

	if (size < 2)
		return 0;
	if (data[1] != 0)
	{
		code.data = (const char *) data + 2;
		code.len = data[1] < size - 2 ? data[1] : size - 2;
	}
	body.data = (const char *) data + 2 + code.len;
	body.len = size - 2 - code.len;
	check_answer(statuses[data[0] % 8], code, body, true);
	check_answer(statuses[data[0] % 8], code, body, false);
	check_lines(body);
	return 0;
}
