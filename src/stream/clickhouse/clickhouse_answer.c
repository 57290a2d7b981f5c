/*
 * clickhouse_answer.c
 *
 * Exceptions come in these shapes; the first is of versions up to 19:
 *
 *     Code: 60, e.displayText() = DB::Exception: Table a.b doesn't exist., e.what() = ...
 *     Code: 60. DB::Exception: Table a.b does not exist. (UNKNOWN_TABLE) (version 26.7.2.1)
 *
 * An exception that says nothing of a row may come from the middle of an INSERT: parts of
 * other partitions may have been written, and materialised views run behind the table. So
 * only a few codes mean that nothing was written.
 */
#include "stream/clickhouse/clickhouse_answer.h"

#include <limits.h>
#include <stdio.h>

#define HTTP_OK 200

/* Longest name that is taken from an answer into a message. */
#define NAME_LIMIT 48

#define QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING 216
#define INCORRECT_DATA 117

/* Of values that cannot be read. Their texts quote the row. */
static const int row_codes[] = {6,	 25,  26,  27,	32,	 33,  38,  41,	53,
								69,	 70,  72,  117, 130, 131, 190, 321, 349,
								353, 376, 407, 441, 467, 469, 675, 676, 691};

/* Among them: the body ended too early. */
static const int end_codes[] = {32, 33};

/* Raised before the first row is read or written: a definition, a name, or a right is wrong. */
static const int start_codes[] = {16,  20,	47,	 48,  60,  62,	73,	 81,  115, 164, 192,
								  193, 194, 195, 202, 242, 252, 452, 497, 516, 620};

/* The same for the older shape, where an exception of a view looks like one of the table. */
static const int old_start_codes[] = {62, 73, 115, 164, 192, 193, 194, 195, 202};

#define IS_ONE_OF(code, codes) is_one_of(code, codes, sizeof(codes) / sizeof((codes)[0]))

static bool
is_one_of(int code, const int *codes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (codes[i] == code)
			return true;
	return false;
}

/*
 * Find a text in another; the slice from there to the end, or data NULL
 */
static Slice
find(Slice text, const char *wanted)
{
	const char *at;

	if (text.data == NULL || text.len == 0)
		return (Slice){NULL, 0};
	at = memmem(text.data, text.len, wanted, strlen(wanted));
	if (at == NULL)
		return (Slice){NULL, 0};
	return (Slice){at, text.len - (at - text.data)};
}

static bool
has(Slice text, const char *wanted)
{
	return find(text, wanted).data != NULL;
}

/*
 * Read a number that begins a text, of at most six digits; -1 if there is none. *text moves
 * behind it.
 */
static int
read_digits(Slice *text)
{
	int number = 0;
	int digits = 0;

	while (text->len > 0 && text->data[0] >= '0' && text->data[0] <= '9')
	{
		if (++digits > 6)
			return -1;
		number = number * 10 + (text->data[0] - '0');
		text->data++;
		text->len--;
	}
	return digits > 0 ? number : -1;
}

/*
 * The text behind another in it; data NULL if it is not there
 */
static Slice
find_behind(Slice text, const char *wanted)
{
	Slice found = find(text, wanted);

	if (found.data != NULL)
	{
		found.data += strlen(wanted);
		found.len -= strlen(wanted);
	}
	return found;
}

static bool
is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
		   c == '.';
}

/*
 * Copy the name that begins a text, if it is one and not too long; else ""
 */
static void
copy_name(char name[NAME_LIMIT], Slice text)
{
	size_t len = 0;

	while (len < text.len && len < NAME_LIMIT && is_name_char(text.data[len]))
		len++;
	if (len == NAME_LIMIT)
		len = 0;
	if (len > 0)
		memcpy(name, text.data, len);
	name[len] = '\0';
}

/*
 * Copy the name behind a text. False if there is none.
 */
static bool
copy_name_behind(char name[NAME_LIMIT], Slice text, const char *wanted)
{
	size_t len;

	copy_name(name, find_behind(text, wanted));
	len = strlen(name);
	/* the end of the sentence is no part of it */
	if (len > 0 && name[len - 1] == '.')
		name[len - 1] = '\0';
	return name[0] != '\0';
}

/*
 * The name of a code: the last word in capitals in parentheses
 */
static void
find_code_name(char name[NAME_LIMIT], Slice text)
{
	name[0] = '\0';
	for (;;)
	{
		char candidate[NAME_LIMIT];

		text = find(text, "(");
		if (text.data == NULL)
			return;
		text.data++;
		text.len--;
		copy_name(candidate, text);
		if (strlen(candidate) > 2 && strlen(candidate) < text.len &&
			text.data[strlen(candidate)] == ')' &&
			strspn(candidate, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") == strlen(candidate))
			strcpy(name, candidate);
	}
}

/*
 * Find the exception in a body: the slice behind "Code: ", with the code read
 */
static Slice
find_exception(Slice body, int *code)
{
	while (has(body, "Code: "))
	{
		Slice number;
		int found;

		body = find_behind(body, "Code: ");
		number = body;
		found = read_digits(&number);
		if (found > 0 && number.len > 0 && (number.data[0] == '.' || number.data[0] == ','))
		{
			*code = found;
			return number;
		}
	}
	return (Slice){NULL, 0};
}

static ClickHouseMeaning
judge_code(int code, Slice text)
{
	bool old = text.len >= 1 && text.data[0] == ',';

	if (code == QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING)
		return CLICKHOUSE_RUNNING;
	/* the table may have its rows already */
	if (has(text, "pushing to view"))
		return CLICKHOUSE_DOUBT;
	if (IS_ONE_OF(code, row_codes) && !IS_ONE_OF(code, end_codes) && has(text, "at row ") &&
		!(code == INCORRECT_DATA && has(text, "Unknown field")))
		return CLICKHOUSE_ROW;
	if (old ? IS_ONE_OF(code, old_start_codes) : IS_ONE_OF(code, start_codes))
		return CLICKHOUSE_NOTHING;
	return CLICKHOUSE_DOUBT;
}

/*
 * The text of an exception, without what surrounds it
 */
static Slice
trim_text(Slice text)
{
	static const char *const heads[] = {"DB::Exception: ", "DB::NetException: "};
	static const char *const tails[] = {", e.what() =", " (version ", "\n"};
	Slice found;

	for (int i = 0; i < 2; i++)
	{
		found = find_behind(text, heads[i]);
		if (found.data != NULL)
		{
			text = found;
			break;
		}
	}
	for (int i = 0; i < 3; i++)
	{
		found = find(text, tails[i]);
		if (found.data != NULL)
			text.len -= found.len;
	}
	return text;
}

/*
 * Describe an exception that quotes values: its place, and no value
 */
static void
describe_row(ClickHouseAnswer *answer, const char *name, Slice text)
{
	char key[NAME_LIMIT];
	char place[NAME_LIMIT + 32] = "a value";
	char row_place[32] = "";
	char message[WIRE_MESSAGE_SIZE];
	Slice found;
	int row;

	if (copy_name_behind(key, text, "pushing to view "))
		snprintf(place, sizeof(place), "what materialised view %s reads", key);
	else if (copy_name_behind(key, text, "the value of key "))
		snprintf(place, sizeof(place), "the value of %s", key);
	found = find_behind(text, "at row ");
	row = read_digits(&found);
	if (row >= 0)
		snprintf(row_place, sizeof(row_place), " in row %d", row);
	snprintf(message, sizeof(message), "code %d%s: cannot take %s%s", answer->code, name, place,
			 row_place);
	WireMessageCopy(answer->message, message, strlen(message));
}

static void
describe_code(ClickHouseAnswer *answer, Slice text)
{
	char name[NAME_LIMIT];
	char shown[NAME_LIMIT + 4] = "";
	char view[NAME_LIMIT];
	char place[NAME_LIMIT + 32] = "";
	char message[WIRE_MESSAGE_SIZE];
	Slice trimmed = trim_text(text);
	int prefix;

	find_code_name(name, text);
	if (name[0] != '\0')
		snprintf(shown, sizeof(shown), " (%s)", name);
	if (IS_ONE_OF(answer->code, row_codes))
	{
		describe_row(answer, shown, text);
		return;
	}
	/* which stands at the end of a text that may be long */
	if (copy_name_behind(view, text, "pushing to view "))
		snprintf(place, sizeof(place), "materialised view %s: ", view);
	prefix = snprintf(message, sizeof(message), "code %d%s: %s", answer->code, shown, place);
	if (trimmed.len > sizeof(message) - 1 - prefix)
		trimmed.len = sizeof(message) - 1 - prefix;
	if (trimmed.len > 0)
		memcpy(message + prefix, trimmed.data, trimmed.len);
	WireMessageCopy(answer->message, message, prefix + trimmed.len);
}

/*
 * Judge an answer that holds no exception: a proxy's, or another program's
 */
static void
judge_status(int status, ClickHouseAnswer *answer)
{
	const char *hint = "";

	if (status == 404 || status == 405 || (status >= 300 && status < 400))
		hint = ": the URL does not lead to ClickHouse's HTTP port";
	else if (status == 413)
		hint = ": the body is too large for a proxy; lower batch_bytes";
	snprintf(answer->message, sizeof(answer->message), "HTTP status %d without an exception%s",
			 status, hint);
	/* what was not let in has written nothing; a gateway's 5xx may have */
	answer->meaning =
		status >= 300 && status < 500 && status != 408 ? CLICKHOUSE_NOTHING : CLICKHOUSE_DOUBT;
}

void
ClickHouseAnswerRead(int status, Slice code, Slice body, bool is_insert, ClickHouseAnswer *answer)
{
	Slice text = {NULL, 0};
	int header_code = -1;
	bool bad = status != HTTP_OK || code.data != NULL || has(body, "__exception__");

	memset(answer, 0, sizeof(*answer));
	/* a result may quote "Code: 60." in a value; an exception begins the body */
	if (is_insert ? body.len > 0 : body.len > 6 && memcmp(body.data, "Code: ", 6) == 0)
		bad = true;
	if (!bad)
	{
		answer->meaning = CLICKHOUSE_OK;
		return;
	}

	text = find_exception(body, &answer->code);
	if (code.data != NULL)
		header_code = read_digits(&code);
	if (header_code > 0)
		answer->code = header_code;
	if (answer->code > 0)
	{
		answer->meaning = judge_code(answer->code, text);
		describe_code(answer, text);
		return;
	}
	judge_status(status, answer);
}

/* --- results ------------------------------------------------------------ */

/*
 * Unescape a field in place. Returns its new length.
 */
static size_t
unescape(char *field, size_t len)
{
	size_t written = 0;

	for (size_t i = 0; i < len; i++)
	{
		char c = field[i];

		if (c == '\\' && i + 1 < len)
		{
			c = field[++i];
			c = c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c == '0' ? '\0' : c;
		}
		field[written++] = c;
	}
	return written;
}

bool
ClickHouseLineRead(char *text, size_t len, size_t *position, ClickHouseLine *line)
{
	char *field = text + *position;
	char *end;

	line->nfields = 0;
	if (*position >= len)
		return false;
	end = memchr(field, '\n', len - *position);
	if (end == NULL)
		return false;
	*position = (end - text) + 1;
	for (;;)
	{
		char *tab = memchr(field, '\t', end - field);
		char *stop = tab != NULL ? tab : end;

		if (line->nfields == CLICKHOUSE_MAX_FIELDS)
			return false;
		line->fields[line->nfields++] = (Slice){field, unescape(field, stop - field)};
		if (tab == NULL)
			return true;
		field = tab + 1;
	}
}

bool
ClickHouseNumber(Slice field, unsigned long long *number)
{
	*number = 0;
	if (field.len == 0)
		return false;
	for (size_t i = 0; i < field.len; i++)
	{
		unsigned int digit = (unsigned char) field.data[i] - '0';

		if (digit > 9 || *number > (ULLONG_MAX - digit) / 10)
			return false;
		*number = *number * 10 + digit;
	}
	return true;
}

int
ClickHouseVersion(Slice text)
{
	int year = read_digits(&text);
	int month;

	if (year < 0 || year > 9999 || text.len == 0 || text.data[0] != '.')
		return 0;
	text.data++;
	text.len--;
	month = read_digits(&text);
	return month < 0 || month > 99 ? 0 : year * 100 + month;
}
