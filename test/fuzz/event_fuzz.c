/*
 * event_fuzz.c
 *
 * Fuzzes the parser of request bodies. The first byte of an input chooses the shape of the
 * body and the rules; the rest is the body. The body is also read as a time, and its
 * escapes are replaced.
 *
 * For any bytes: an event that is reported valid satisfies the rules, everything that it
 * points to is terminated text in the parser's memory, its metadata's tokens are balanced,
 * and every refusal has a message in valid UTF-8.
 *
 * MetadataAdd below takes the place of the one that builds jsonb, which needs a server.
 */
#include "postgres_fe.h"

#include "event/parse.h"

#include "mb/pg_wchar.h"

#include "arena.h"
#include "event/json_escape.h"
#include "event/json_metadata.h"
#include "event/timestamp.h"

#define NOW INT64_C(1800000000000000)

typedef struct
{
	const EventRules *rules;
	int begun;
	int ended;
	char open[256]; /* how metadata's open containers began */
	int depth;
	bool key_before;
} Checker;

static Checker *current; /* of the input at hand */

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
 * Every byte must be readable, and the text must be one that a C string can hold
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
begin_event(void *arg)
{
	Checker *checker = arg;

	checker->begun++;
	checker->open[0] = '{';
	checker->depth = 0;
	checker->key_before = false;
}

/*
 * jsonb can be built of the tokens: in an object a key comes before each value, and
 * containers end as they began
 */
void
MetadataAdd(Metadata *metadata, MetadataToken token, const char *text)
{
	Checker *checker = current;
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
end_event(void *arg, int index, Event *event, const char *error)
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
 * A time is within the years of a timestamptz, or the reader says what is wrong with it
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
 * Once replaced, the text holds no escapes that must be replaced
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
	EventReceiver receiver = {begin_event, end_event, &checker};
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

	/* an allocation of exactly that size, so that the sanitizer notices any byte too far */
	body = malloc(size);
	memcpy(body, data + 1, size - 1);
	body[size - 1] = '\0';
	current = &checker;
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
