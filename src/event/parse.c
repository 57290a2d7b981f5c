/*
 * parse.c
 *
 * The semantic actions for pg_parse_json. A parser is in one of three places:
 * outside of an event, among an event's own fields, or below one of them (in
 * tags, metadata, or a value that should not be there). depth tells which:
 * the event's object is opened at event_depth, so its fields are at
 * event_depth + 1.
 *
 * A violation inside an event is recorded and parsing goes on, so that the
 * other events of a bulk request can be accepted. What makes the whole body
 * unusable leaves by siglongjmp: until PostgreSQL 16 actions cannot stop the
 * parser, and it holds nothing but memory of the current context.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "event/parse.h"

#include <setjmp.h>

#include "common/jsonapi.h"
#include "mb/pg_wchar.h"

#include "compat.h"
#include "event/timestamp.h"
#include "event/validate.h"

#define MAX_DEPTH 128

/*
 * Keys, values and containers of an event's metadata. Each costs jsonb's
 * construction some hundred bytes, and a client two.
 */
#define MAX_METADATA_TOKENS 100000

#define UTF8_BOM "\xEF\xBB\xBF"
#define NO_EVENT (-1)

typedef enum
{
	FIELD_TEXT,
	FIELD_TIMESTAMP,
	FIELD_TAGS,
	FIELD_METADATA,
	FIELD_UNKNOWN
} FieldKind;

typedef struct
{
	const char *name;
	FieldKind kind;
	size_t offset; /* of its Slice in Event */
} Field;

static const Field full_fields[] = {
	{"event_name", FIELD_TEXT, offsetof(Event, event_name)},
	{"channel", FIELD_TEXT, offsetof(Event, channel)},
	{"user_id", FIELD_TEXT, offsetof(Event, user_id)},
	{"timestamp", FIELD_TIMESTAMP, offsetof(Event, timestamp)},
	{"tags", FIELD_TAGS, 0},
	{"metadata", FIELD_METADATA, 0},
	{"campaign_id", FIELD_TEXT, offsetof(Event, campaign_id)},
	{"site_id", FIELD_TEXT, offsetof(Event, site_id)},
	{"path", FIELD_TEXT, offsetof(Event, path)},
	{"idempotency_key", FIELD_TEXT, offsetof(Event, idempotency_key)},
};

static const Field website_fields[] = {
	{"event_type", FIELD_TEXT, offsetof(Event, event_name)},
	{"site_id", FIELD_TEXT, offsetof(Event, site_id)},
	{"path", FIELD_TEXT, offsetof(Event, path)},
	{"user_id", FIELD_TEXT, offsetof(Event, user_id)},
	{"timestamp", FIELD_TIMESTAMP, offsetof(Event, timestamp)},
};

static const Field unknown_field = {NULL, FIELD_UNKNOWN, 0};

typedef struct
{
	const EventRules *rules;
	const EventReceiver *receiver;
	const Field *fields;
	int nfields;
	const char *body;
	JsonLexContext *lex;
	BodyShape shape;
	sigjmp_buf fail;
	char *body_error;

	int depth;
	int event_depth;  /* NO_EVENT while no event may begin */
	bool seen_events; /* the array of events has been met */
	int index;		  /* of the current event in the request */

	bool in_event;
	Event event;
	const Field *field; /* the event's field being read */
	uint32 seen;		/* bit per field */
	int tags_room;
	int metadata_tokens;
	char event_error[EVENT_ERROR_SIZE]; /* "" while the event is valid */
} Parser;

/*
 * Give up on the whole body
 */
pg_noreturn static void fail_body(Parser *p);

static void
fail_body(Parser *p)
{
	siglongjmp(p->fail, 1);
}

/*
 * Record an event's first violation
 */
#define reject_event(p, ...) \
	do \
	{ \
		if ((p)->event_error[0] == '\0') \
			snprintf((p)->event_error, EVENT_ERROR_SIZE, __VA_ARGS__); \
	} while (0)

/* Are the callbacks among the fields of an event? */
#define AT_FIELDS(p) ((p)->in_event && (p)->depth == (p)->event_depth + 1)

static const char *
token_name(JsonTokenType type)
{
	switch (type)
	{
		case JSON_TOKEN_STRING:
			return "text";
		case JSON_TOKEN_NUMBER:
			return "a number";
		case JSON_TOKEN_OBJECT_START:
			return "an object";
		case JSON_TOKEN_ARRAY_START:
			return "an array";
		case JSON_TOKEN_TRUE:
		case JSON_TOKEN_FALSE:
			return "a boolean";
		default:
			return "null";
	}
}

/*
 * The token itself where it is short enough to show, else what kind it is
 */
static const char *
describe_value(Parser *p)
{
	static char shown[48];
	int len = (int) (p->lex->token_terminator - p->lex->token_start);

	if (p->lex->token_type == JSON_TOKEN_NUMBER && len < (int) sizeof(shown))
	{
		snprintf(shown, sizeof(shown), "%.*s", len, p->lex->token_start);
		return shown;
	}
	if (p->lex->token_type == JSON_TOKEN_TRUE)
		return "true";
	if (p->lex->token_type == JSON_TOKEN_FALSE)
		return "false";
	return token_name(p->lex->token_type);
}

static void
begin_event(Parser *p)
{
	if (p->index >= p->rules->max_events)
	{
		snprintf(p->body_error, EVENT_ERROR_SIZE,
				 "events holds more than %d events (fast_ingest.max_bulk_events)",
				 p->rules->max_events);
		fail_body(p);
	}
	p->receiver->begin(p->receiver->arg);
	memset(&p->event, 0, sizeof(p->event));
	p->in_event = true;
	p->field = NULL;
	p->seen = 0;
	p->tags_room = 0;
	p->metadata_tokens = 0;
	p->event_error[0] = '\0';
}

static void
end_event(Parser *p)
{
	if (p->event_error[0] == '\0')
		EventValidate(&p->event, p->rules, p->event_error);
	p->in_event = false;
	p->receiver->end(p->receiver->arg, p->index++, &p->event,
					 p->event_error[0] != '\0' ? p->event_error : NULL);
}

/*
 * Hand on a token if it belongs to metadata: below the field of that name, or
 * in an unknown one that is folded into it. True if its text was kept.
 */
static bool
give_metadata(Parser *p, MetadataToken token, const char *text)
{
	if (!p->in_event || p->field == NULL || p->event_error[0] != '\0')
		return false;
	if (p->field->kind != FIELD_METADATA && p->field->kind != FIELD_UNKNOWN)
		return false;
	p->event.has_metadata = true;
	if (p->field->kind == FIELD_METADATA && p->depth == p->event_depth + 1)
		return false; /* the braces of metadata itself */
	if (++p->metadata_tokens > MAX_METADATA_TOKENS)
	{
		reject_event(p, "metadata holds more than %d keys and values", MAX_METADATA_TOKENS);
		return false;
	}
	p->receiver->metadata(p->receiver->arg, token, text);
	return true;
}

/*
 * Go one level down, unless that is too deep to follow
 */
static void
enter(Parser *p)
{
	if (++p->depth > MAX_DEPTH)
	{
		snprintf(p->body_error, EVENT_ERROR_SIZE,
				 "invalid JSON at byte %zu: nested more than %d levels deep",
				 (size_t) (p->lex->token_start - p->body), MAX_DEPTH);
		fail_body(p);
	}
}

static JsonActionResult
object_start(void *state)
{
	Parser *p = state;

	if (!p->in_event && p->depth == p->event_depth)
		begin_event(p);
	(void) give_metadata(p, METADATA_BEGIN_OBJECT, NULL);
	enter(p);
	JSON_ACTION_OK;
}

static JsonActionResult
object_end(void *state)
{
	Parser *p = state;

	p->depth--;
	if (p->in_event && p->depth == p->event_depth)
		end_event(p);
	else
		(void) give_metadata(p, METADATA_END_OBJECT, NULL);
	JSON_ACTION_OK;
}

static JsonActionResult
array_start(void *state)
{
	Parser *p = state;

	if (p->depth == 0 && p->shape == BODY_BULK)
	{
		p->event_depth = 1;
		p->seen_events = true;
	}
	if (AT_FIELDS(p) && p->field != NULL && p->field->kind == FIELD_TAGS)
		p->event.has_tags = true;
	(void) give_metadata(p, METADATA_BEGIN_ARRAY, NULL);
	enter(p);
	JSON_ACTION_OK;
}

static JsonActionResult
array_end(void *state)
{
	Parser *p = state;

	p->depth--;
	if (!p->in_event && p->depth == p->event_depth - 1)
		p->event_depth = NO_EVENT;
	(void) give_metadata(p, METADATA_END_ARRAY, NULL);
	JSON_ACTION_OK;
}

static JsonActionResult
element_start(void *state, bool isnull)
{
	Parser *p = state;

	if (!p->in_event && p->depth == p->event_depth && p->lex->token_type != JSON_TOKEN_OBJECT_START)
	{
		begin_event(p);
		reject_event(p, "event is %s: expected an object", describe_value(p));
		end_event(p);
	}
	else if (p->in_event && p->depth == p->event_depth + 2 && p->field != NULL &&
			 p->field->kind == FIELD_TAGS && p->lex->token_type != JSON_TOKEN_STRING)
		reject_event(p, "tags holds %s: expected an array of text", describe_value(p));
	JSON_ACTION_OK;
}

/*
 * Check the type of a known field's value, whose first token was just read
 */
static void
check_type(Parser *p, const Field *field)
{
	JsonTokenType type = p->lex->token_type;

	switch (field->kind)
	{
		case FIELD_TEXT:
			if (type != JSON_TOKEN_STRING)
				reject_event(p, "%s is %s: expected text", field->name, describe_value(p));
			break;
		case FIELD_TIMESTAMP:
			if (type != JSON_TOKEN_STRING && type != JSON_TOKEN_NUMBER)
				reject_event(p,
							 "timestamp is %s: expected Unix seconds, milliseconds or an RFC 3339 "
							 "date-time",
							 describe_value(p));
			break;
		case FIELD_TAGS:
			if (type != JSON_TOKEN_ARRAY_START)
				reject_event(p, "tags is %s: expected an array of text", describe_value(p));
			break;
		case FIELD_METADATA:
			if (type != JSON_TOKEN_OBJECT_START)
				reject_event(p, "metadata is %s: expected an object", describe_value(p));
			break;
		case FIELD_UNKNOWN:
			break;
	}
}

static const Field *
find_field(Parser *p, const char *name)
{
	for (int i = 0; i < p->nfields; i++)
		if (strcmp(p->fields[i].name, name) == 0)
			return &p->fields[i];
	return &unknown_field;
}

static JsonActionResult
field_start(void *state, char *fname, bool isnull)
{
	Parser *p = state;

	if (AT_FIELDS(p))
	{
		p->field = find_field(p, fname);
		if (p->field == &unknown_field)
		{
			if (!p->rules->fold_unknown)
				reject_event(p, "unknown field %s", QuoteValue(fname, strlen(fname)));
			(void) give_metadata(p, METADATA_KEY, fname);
		}
		else
		{
			uint32 bit = 1U << (p->field - p->fields);

			if (p->seen & bit)
				reject_event(p, "%s is given twice", fname);
			p->seen |= bit;
			if (isnull)
				p->field = NULL;
			else
				check_type(p, p->field);
		}
	}
	else if (p->in_event)
		(void) give_metadata(p, METADATA_KEY, fname);
	else if (p->depth == 1 && p->shape == BODY_BULK && p->event_depth != 1)
	{
		/* {"events": [...]} */
		if (strcmp(fname, "events") != 0)
		{
			snprintf(p->body_error, EVENT_ERROR_SIZE, "unknown field %s: expected only \"events\"",
					 QuoteValue(fname, strlen(fname)));
			fail_body(p);
		}
		if (p->lex->token_type != JSON_TOKEN_ARRAY_START || p->seen_events)
		{
			snprintf(p->body_error, EVENT_ERROR_SIZE, "events is %s: expected an array",
					 p->seen_events ? "given twice" : describe_value(p));
			fail_body(p);
		}
		p->seen_events = true;
		p->event_depth = 2;
	}
	JSON_ACTION_OK;
}

static JsonActionResult
field_end(void *state, char *fname, bool isnull)
{
	Parser *p = state;

	if (AT_FIELDS(p))
		p->field = NULL;
	JSON_ACTION_OK;
}

static MetadataToken
metadata_token(JsonTokenType type)
{
	switch (type)
	{
		case JSON_TOKEN_STRING:
			return METADATA_STRING;
		case JSON_TOKEN_NUMBER:
			return METADATA_NUMBER;
		case JSON_TOKEN_TRUE:
			return METADATA_TRUE;
		case JSON_TOKEN_FALSE:
			return METADATA_FALSE;
		default:
			return METADATA_NULL;
	}
}

/*
 * Take the value of one of the event's own fields. True if its text was kept.
 */
static bool
take_value(Parser *p, char *token, JsonTokenType type)
{
	Event *event = &p->event;
	Slice text = {token, strlen(token)};

	if (p->field->kind == FIELD_TEXT && type == JSON_TOKEN_STRING)
		*(Slice *) ((char *) event + p->field->offset) = text;
	else if (p->field->kind == FIELD_TIMESTAMP)
	{
		event->timestamp = (Slice){token, Min(text.len, 40)};
		event->has_timestamp = type == JSON_TOKEN_STRING
								   ? TimestampFromRfc3339(token, text.len, &event->time)
								   : TimestampFromNumber(token, text.len, &event->time);
		if (!event->has_timestamp)
			reject_event(p,
						 "timestamp %s is not a time: expected Unix seconds, milliseconds or an "
						 "RFC 3339 date-time",
						 QuoteValue(token, text.len));
	}
	else
		return false;
	return true;
}

/*
 * Take an element of tags. True if its text was kept.
 */
static bool
take_tag(Parser *p, char *token)
{
	Event *event = &p->event;

	if (event->ntags == MAX_TAGS)
	{
		reject_event(p, "tags holds more than %d elements", MAX_TAGS);
		return false;
	}
	if (event->ntags >= p->tags_room)
	{
		p->tags_room = Max(8, p->tags_room * 2);
		if (event->tags == NULL)
			event->tags = palloc(p->tags_room * sizeof(Slice));
		else
			event->tags = repalloc(event->tags, p->tags_room * sizeof(Slice));
	}
	event->tags[event->ntags++] = (Slice){token, strlen(token)};
	return true;
}

/*
 * Take a value, which was allocated for us. A body may hold millions of values
 * that nobody wants.
 */
static JsonActionResult
scalar(void *state, char *token, JsonTokenType type)
{
	Parser *p = state;
	bool kept = false;

	if (p->in_event && p->field != NULL)
	{
		if (p->field->kind == FIELD_METADATA || p->field->kind == FIELD_UNKNOWN)
			kept = give_metadata(p, metadata_token(type), token);
		else if (p->depth == p->event_depth + 1)
			kept = take_value(p, token, type);
		else if (p->depth == p->event_depth + 2 && p->field->kind == FIELD_TAGS)
			kept = take_tag(p, token);
	}
	if (!kept)
		pfree(token);
	JSON_ACTION_OK;
}

/*
 * End a message that did not fit at a character boundary
 */
static void
cut_at_character(char *message, size_t len)
{
	while (len > 0 && ((unsigned char) message[len - 1] & 0xC0) == 0x80)
		len--;
	message[len > 0 ? len - 1 : 0] = '\0';
}

/*
 * Parse one JSON text that starts at the given offset of the body
 */
static bool
parse_text(Parser *p, char *body, size_t offset, size_t len)
{
	JsonParseErrorType result;
	JsonSemAction actions = {
		.semstate = p,
		.object_start = object_start,
		.object_end = object_end,
		.array_start = array_start,
		.array_end = array_end,
		.object_field_start = field_start,
		.object_field_end = field_end,
		.array_element_start = element_start,
		.scalar = scalar,
	};

	p->depth = 0;
	p->event_depth = p->shape == BODY_BULK ? NO_EVENT : 0;
	p->in_event = false;
	p->lex = MakeJsonLexer(body + offset, len);
	result = pg_parse_json(p->lex, &actions);
	if (result != JSON_SUCCESS)
	{
		const char *at = p->lex->token_start ? p->lex->token_start : p->lex->token_terminator;
		int used = snprintf(p->body_error, EVENT_ERROR_SIZE, "invalid JSON at byte %zu: %s",
							(size_t) (at - body), json_errdetail(result, p->lex));

		if (used >= EVENT_ERROR_SIZE)
			cut_at_character(p->body_error, EVENT_ERROR_SIZE - 1);
		return false;
	}
	return true;
}

/*
 * Parse the lines of an NDJSON body; blank ones do not count
 */
static bool
parse_lines(Parser *p, char *body, size_t len)
{
	size_t start = 0;

	while (start < len)
	{
		char *newline = memchr(body + start, '\n', len - start);
		size_t end = newline ? (size_t) (newline - body) : len;
		size_t text_end = end;
		int index = p->index;

		while (text_end > start && strchr(" \t\r", body[text_end - 1]) != NULL)
			text_end--;
		if (text_end > start)
		{
			if (!parse_text(p, body, start, text_end - start))
				return false;
			if (p->index == index)
			{
				begin_event(p);
				reject_event(p, "event is not an object: expected a JSON object on each line");
				end_event(p);
			}
		}
		start = end + 1;
	}
	return true;
}

/*
 * Is the body text that can be JSON at all?
 */
static bool
check_encoding(const char *body, size_t len, char *error)
{
	int valid = pg_encoding_verifymbstr(PG_UTF8, body, (int) len);

	if (valid < (int) len)
	{
		snprintf(error, EVENT_ERROR_SIZE, "invalid UTF-8 at byte %d: 0x%02x", valid,
				 (unsigned char) body[valid]);
		return false;
	}
	if (len >= 3 && memcmp(body, UTF8_BOM, 3) == 0)
	{
		snprintf(error, EVENT_ERROR_SIZE,
				 "invalid JSON at byte 0: the body begins with a byte order mark");
		return false;
	}
	return true;
}

bool
ParseEvents(char *body, size_t len, BodyShape shape, const EventRules *rules,
			const EventReceiver *receiver, char error[EVENT_ERROR_SIZE])
{
	Parser parser = {
		.rules = rules,
		.receiver = receiver,
		.body = body,
		.shape = shape,
		.body_error = error,
		.fields = rules->form == EVENT_FORM_WEBSITE ? website_fields : full_fields,
		.nfields =
			rules->form == EVENT_FORM_WEBSITE ? lengthof(website_fields) : lengthof(full_fields),
	};
	Parser *volatile p = &parser;

	if (!check_encoding(body, len, error))
		return false;
	if (sigsetjmp(p->fail, 0) != 0)
		return false;

	if (shape == BODY_NDJSON)
	{
		if (!parse_lines(p, body, len))
			return false;
	}
	else if (!parse_text(p, body, 0, len))
		return false;

	if (shape == BODY_SINGLE && p->index == 0)
		snprintf(error, EVENT_ERROR_SIZE, "body is not an object: expected one JSON object");
	else if (shape == BODY_BULK && !p->seen_events)
		snprintf(error, EVENT_ERROR_SIZE,
				 "body holds no events: expected an array or {\"events\": [...]}");
	else if (p->index == 0)
		snprintf(error, EVENT_ERROR_SIZE, "events is empty: expected at least one event");
	else
		return true;
	return false;
}
