/*
 * clickhouse_answer_test.c
 *
 * Answers of ClickHouse 18.16 and 26.7, and of proxies before them: what they mean, and that
 * no message quotes a value of an event.
 */
#include "stream/clickhouse/clickhouse_answer.h"

#include <limits.h>
#include <string.h>

#include "tap.h"

#define INSERT true
#define SELECT false

static Slice
slice(const char *text)
{
	return (Slice){text, text != NULL ? strlen(text) : 0};
}

/*
 * Check what an answer means, its code and a word of its message
 */
static void
means(ClickHouseMeaning meaning, int code, const char *word, int status, const char *header,
	  const char *body, bool is_insert)
{
	ClickHouseAnswer answer;

	ClickHouseAnswerRead(status, slice(header), slice(body), is_insert, &answer);
	ok(answer.meaning == meaning && answer.code == code && strstr(answer.message, word) != NULL &&
		   strstr(answer.message, "secret-value") == NULL,
	   "%d %.*s: %d, code %d: %s", status, (int) strcspn(body, "\r\n"), body, answer.meaning,
	   answer.code, answer.message);
}

static void
test_answers(void)
{
	means(CLICKHOUSE_OK, 0, "", 200, NULL, "", INSERT);
	means(CLICKHOUSE_OK, 0, "", 200, NULL, "1\t2\n", SELECT);
	means(CLICKHOUSE_OK, 0, "", 200, NULL, "a value with Code: 60. in it\n", SELECT);

	/* good at first sight */
	means(CLICKHOUSE_DOUBT, 0, "HTTP status 200", 200, NULL, "hello", INSERT);
	means(
		CLICKHOUSE_DOUBT, 241, "code 241 (MEMORY_LIMIT_EXCEEDED): Memory limit", 200, NULL,
		"Code: 241. DB::Exception: Memory limit (total) exceeded. (MEMORY_LIMIT_EXCEEDED) (version "
		"26.7.2.1)",
		INSERT);
	means(CLICKHOUSE_DOUBT, 999, "code 999", 200, "999", "", INSERT);
	means(CLICKHOUSE_DOUBT, 241, "code 241", 200, NULL,
		  "1\n2\n__exception__\r\nabc\r\nCode: 241. DB::Exception: x. (MEMORY_LIMIT_EXCEEDED)",
		  SELECT);
	means(CLICKHOUSE_DOUBT, 241, "code 241", 200, NULL, "Code: 241, e.displayText() = x", SELECT);

	/* rows */
	means(
		CLICKHOUSE_ROW, 41, "(CANNOT_PARSE_DATETIME): cannot take the value of ts in row 17", 400,
		"41",
		"Code: 41. DB::Exception: Cannot read DateTime: secret-value: (while reading the value of "
		"key ts): (at row 17)\n: While executing JSONEachRowRowInputFormat. (CANNOT_PARSE_DATETIME) "
		"(version 26.7.2.1)",
		INSERT);
	means(
		CLICKHOUSE_ROW, 27, "cannot take the value of ts in row 1", 500, NULL,
		"Code: 27, e.displayText() = DB::Exception: Cannot parse input: expected \" before: "
		"secret-value\"}: (while read the value of key ts): (at row 1)\n, e.what() = DB::Exception\n",
		INSERT);
	means(
		CLICKHOUSE_ROW, 469, "in row 1", 500, "469",
		"Code: 469. DB::Exception: Constraint `c` for table a.b is violated at row 1. Expression: (x "
		"> 1). Column values: x = 'secret-value'. (VIOLATED_CONSTRAINT)",
		INSERT);
	/* the same codes, where no row is at fault */
	means(
		CLICKHOUSE_DOUBT, 117, "", 400, "117",
		"Code: 117. DB::Exception: Unknown field found while parsing JSONEachRow format: a: (at row "
		"1)\n. (INCORRECT_DATA)",
		INSERT);
	means(CLICKHOUSE_DOUBT, 33, "", 500, NULL,
		  "Code: 33, e.displayText() = DB::Exception: Unexpected end of stream: (at row 9)",
		  INSERT);
	means(CLICKHOUSE_DOUBT, 6, "materialised view default.hours reads", 500, "6",
		  "Code: 6. DB::Exception: Cannot parse string 'secret-value' as Int32: (at row 3): while "
		  "pushing to view default.hours (0123). (CANNOT_PARSE_TEXT)",
		  INSERT);
	means(CLICKHOUSE_DOUBT, 53, "cannot take a value", 500, "53", "Code: 53. DB::Exception: x",
		  INSERT);

	/* the target */
	means(CLICKHOUSE_NOTHING, 60, "(UNKNOWN_TABLE): Table default.x does not exist", 404, "60",
		  "Code: 60. DB::Exception: Table default.x does not exist. (UNKNOWN_TABLE) (version 26.7)",
		  INSERT);
	means(CLICKHOUSE_DOUBT, 60, "Table default.x doesn't exist.", 404, NULL,
		  "Code: 60, e.displayText() = DB::Exception: Table default.x doesn't exist., e.what() = "
		  "DB::Exception\n",
		  INSERT);
	means(
		CLICKHOUSE_DOUBT, 60, "materialised view default.v: Table default.x does not exist", 404,
		"60",
		"Code: 60. DB::Exception: Table default.x does not exist: while pushing to view default.v. "
		"(UNKNOWN_TABLE)",
		INSERT);
	means(
		CLICKHOUSE_NOTHING, 193, "Wrong password", 401, NULL,
		"Code: 193, e.displayText() = DB::Exception: Wrong password for user default, e.what() = x",
		INSERT);
	means(CLICKHOUSE_NOTHING, 516, "Authentication failed", 403, "516",
		  "Code: 516. DB::Exception: u: Authentication failed. (AUTHENTICATION_FAILED)", INSERT);
	means(CLICKHOUSE_NOTHING, 252, "Too many parts", 500, "252",
		  "Code: 252. DB::Exception: Too many parts (3000). (TOO_MANY_PARTS)", INSERT);
	means(CLICKHOUSE_RUNNING, 216, "216", 500, NULL,
		  "Code: 216, e.displayText() = DB::Exception: Query with id = a is already running.",
		  INSERT);
	means(CLICKHOUSE_DOUBT, 319, "319", 500, "319", "Code: 319. DB::Exception: Unknown status",
		  INSERT);

	/* others */
	means(CLICKHOUSE_NOTHING, 0, "HTTP port", 404, NULL, "<html>secret-value</html>", INSERT);
	means(CLICKHOUSE_NOTHING, 0, "batch_bytes", 413, NULL, "", INSERT);
	means(CLICKHOUSE_NOTHING, 0, "HTTP port", 302, NULL, "", INSERT);
	means(CLICKHOUSE_DOUBT, 0, "HTTP status 502", 502, NULL, "Bad Gateway", INSERT);
	means(CLICKHOUSE_DOUBT, 0, "HTTP status 500", 500, "many",
		  "Code: x. Code: 1234567. Code: ", INSERT);
}

static void
test_lines(void)
{
	char text[] = "a\\tb\t\tc\\\\\\n\n\n1\t2\t3\t4\t5\t6\t7\t8\nno end";
	size_t position = 0;
	ClickHouseLine line;

	ok(ClickHouseLineRead(text, strlen(text), &position, &line) && line.nfields == 3 &&
		   IsText(line.fields[0].data, line.fields[0].len, "a\tb") && line.fields[1].len == 0 &&
		   IsText(line.fields[2].data, line.fields[2].len, "c\\\n"),
	   "fields are unescaped");
	ok(ClickHouseLineRead(text, strlen(text), &position, &line) && line.nfields == 1 &&
		   line.fields[0].len == 0,
	   "an empty line has one empty field");
	ok(ClickHouseLineRead(text, strlen(text), &position, &line) && line.nfields == 8 &&
		   IsText(line.fields[7].data, line.fields[7].len, "8"),
	   "a line with as many fields as there may be");
	ok(!ClickHouseLineRead(text, strlen(text), &position, &line) && text[position] == 'n',
	   "a line without an end is none");
}

static void
test_numbers(void)
{
	unsigned long long number;

	ok(ClickHouseNumber(slice("18446744073709551615"), &number) && number == ULLONG_MAX,
	   "the greatest number");
	ok(!ClickHouseNumber(slice("18446744073709551616"), &number), "a number that is too great");
	ok(!ClickHouseNumber(slice(""), &number) && !ClickHouseNumber(slice("-1"), &number) &&
		   !ClickHouseNumber(slice("1 "), &number),
	   "texts that are no numbers");
	ok(ClickHouseVersion(slice("18.16.1")) == 1816, "18.16");
	ok(ClickHouseVersion(slice("23.3.1.2823-lts")) == 2303, "23.3");
	ok(ClickHouseVersion(slice("26.10.1.1")) == 2610, "26.10");
	ok(ClickHouseVersion(slice("")) == 0 && ClickHouseVersion(slice("v1.2")) == 0 &&
		   ClickHouseVersion(slice("23")) == 0 && ClickHouseVersion(slice("23.x")) == 0,
	   "texts that are no versions");
}

int
main(void)
{
	test_answers();
	test_lines();
	test_numbers();
	return tap_done();
}
