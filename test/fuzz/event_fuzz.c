/*
 * event_fuzz.c
 *
 * Fuzzes the way from a request's body to checked events. The first byte of an
 * input chooses the shape of the body and the rules; the rest is the body.
 *
 * The bytes are also read as a time, and their escapes replaced, alone.
 *
 * What must hold for any bytes: an event that is reported valid satisfies the
 * rules, everything it points to is terminated text inside the parser's memory,
 * and every refusal has a message that is valid UTF-8.
 */
#include "postgres_fe.h"

#include "event/parse.h"

#include "mb/pg_wchar.h"

#include "arena.h"
#include "event/json_escape.h"
#include "event/timestamp.h"

#define NOW INT64_C(1800000000000000)

typedef struct
{
	const EventRules *rules;
	int begun;
	int ended;
	char open[256]; /* the kinds of metadata's open containers */
	int depth;
	bool key_before;
} Checker;

static void
require(bool condition)
{
	if (!condition)
		abort();
}

static void
check_message(const char *message)
{
	size_t len = strlen(message);

	require(len > 0 && len < EVENT_ERROR_SIZE);
	require(pg_encoding_verifymbstr(PG_UTF8, message, (int) len) == (int) len);
}

/*
 * Every byte must be readable, and the text must be what a C string holds
 */
static void
check_slice(Slice slice, bool required, size_t max_len)
{
	require(slice.data != NULL || !required);
	if (slice.data == NULL)
		return;
	require(memchr(slice.data, '\0', slice.len) == NULL);
	require(max_len == 0 || slice.len <= max_len);
	require(pg_encoding_verifymbstr(PG_UTF8, slice.data, (int) slice.len) == (int) slice.len);
}

static void
begin(void *arg)
{
	Checker *checker = arg;

	checker->begun++;
	checker->open[0] = '{';
	checker->depth = 0;
	checker->key_before = false;
}

/*
 * Tokens must be what jsonb is built from: in an object a key before each
 * value, containers closed as they were opened
 */
static void
metadata(void *arg, MetadataToken token, const char *text)
{
	Checker *checker = arg;
	char container = checker->open[checker->depth];

	if (token == METADATA_END_OBJECT || token == METADATA_END_ARRAY)
	{
		require(checker->depth > 0 && !checker->key_before);
		require(container == (token == METADATA_END_OBJECT ? '{' : '['));
		checker->depth--;
		return;
	}
	require((container == '{') == (checker->key_before || token == METADATA_KEY));
	require(!checker->key_before || token != METADATA_KEY);
	checker->key_before = token == METADATA_KEY;
	if (token == METADATA_KEY || token == METADATA_STRING || token == METADATA_NUMBER)
		require(pg_encoding_verifymbstr(PG_UTF8, text, (int) strlen(text)) == (int) strlen(text));
	if (token == METADATA_BEGIN_OBJECT || token == METADATA_BEGIN_ARRAY)
	{
		require(checker->depth < 255);
		checker->open[++checker->depth] = token == METADATA_BEGIN_OBJECT ? '{' : '[';
	}
}

static void
end(void *arg, int index, Event *event, const char *error)
{
	Checker *checker = arg;
	const EventRules *rules = checker->rules;

	require(index == checker->ended);
	require(++checker->ended == checker->begun);
	if (error != NULL)
	{
		check_message(error);
		return;
	}
	check_slice(event->event_name, true, MAX_NAME_LENGTH);
	check_slice(event->channel, true, 0);
	check_slice(event->user_id, rules->form == EVENT_FORM_FULL, MAX_NAME_LENGTH);
	check_slice(event->campaign_id, false, 0);
	check_slice(event->site_id, rules->form == EVENT_FORM_WEBSITE, 0);
	check_slice(event->path, false, 0);
	check_slice(event->idempotency_key, false, 0);
	require(event->event_name.len > 0 && event->channel.len > 0);
	require(event->time > 0 && event->time <= rules->now + rules->max_future);
	require(checker->depth == 0 && !checker->key_before);
	for (int i = 0; i < event->ntags; i++)
		check_slice(event->tags[i], true, 0);
}

/*
 * A time fits into the years that a timestamptz has, or what is wrong is said
 */
static void
check_time(const char *text, size_t len)
{
	int64_t time;
	const char *wrong;

	if (TimestampRead(text, len, &time, &wrong))
		require(wrong == NULL && time >= -INT64_C(100000000000000000) &&
				time <= INT64_C(253402387200000000));
	else
		require(wrong != NULL && wrong[0] != '\0');
}

/*
 * Only marks are in place of anything, and they stand for characters
 */
static void
check_escapes(char *json, size_t len)
{
	EscapesReplace(json, len);
	EscapesReplace(json, len);
	require(EscapeFind(json, json + len) == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char *channels[] = {"web", "mobile", NULL};
	EventRules rules = {.now = NOW, .max_future = 300000000, .max_events = 50};
	Checker checker = {.rules = &rules};
	EventReceiver receiver = {begin, metadata, end, &checker};
	char error[EVENT_ERROR_SIZE] = "";
	BodyShape shape;
	char *body;

	if (size < 1)
		return 0;
	shape = data[0] % 3;
	rules.form = data[0] & 4 ? EVENT_FORM_WEBSITE : EVENT_FORM_FULL;
	rules.fold_unknown = data[0] & 8;
	rules.channels = data[0] & 16 ? channels : NULL;
	rules.max_age = data[0] & 32 ? INT64_C(315360000000000) : 0;

	/* its own allocation of just that size, so that a byte too far is noticed */
	body = malloc(size);
	memcpy(body, data + 1, size - 1);
	body[size - 1] = '\0';
	if (ParseEvents(body, size - 1, shape, &rules, &receiver, error) != PARSE_DONE)
		check_message(error);
	else
		require(checker.ended > 0 && checker.ended == checker.begun &&
				(shape != BODY_SINGLE || checker.ended == 1));
	memcpy(body, data + 1, size - 1);
	check_time(body, size - 1);
	check_escapes(body, size - 1);
	free(body);
	arena_reset();
	return 0;
}
