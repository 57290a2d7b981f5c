/*
 * parse.c
 *
 * The semantic actions for pg_parse_json. The parser is in one of three places:
 * outside of an event, among an event's own fields, or below one of them (in
 * tags, metadata, or a value of the wrong type). depth tells which: the event's
 * object begins at event_depth, so its fields are at event_depth + 1.
 *
 * A violation inside an event is recorded and parsing goes on, so that the
 * other events of a bulk request can be accepted. An error that makes the whole body
 * unusable leaves the parser by siglongjmp, because semantic actions cannot stop it before
 * PostgreSQL 16. That is safe: the parser holds nothing but memory of the current
 * context.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "event/parse.h"

#include <setjmp.h>

#include "mb/pg_wchar.h"
#ifndef FRONTEND
#include "miscadmin.h"
#endif

#include "base/compat.h"
#include "event/event_fields.h"
#include "event/json_escape.h"
#include "event/validate.h"

#ifdef FRONTEND
#define CHECK_FOR_INTERRUPTS() ((void) 0)
#endif

#define MAX_DEPTH 128

#define UTF8_BOM "\xEF\xBB\xBF"
#define NO_EVENT (-1)

typedef struct
{
	const EventRules *rules;
	const EventReceiver *receiver;
	FieldList fields;
	const char *body;
	const char *body_end;
	BodyShape shape;
	sigjmp_buf fail;
	char *body_error;

	int depth;
	int event_depth;  /* NO_EVENT while no event may begin */
	bool seen_events; /* the array of events has begun */
	int index;		  /* of the current event in the request */
	const char *mark; /* the next mark of json_escape.h, or NULL */

	bool in_event;
	EventDraft draft;
} Parser;

/*
 * Stop parsing: the whole body is unusable
 */
pg_noreturn static void fail_body(Parser *p, ParseResult result);

static void
fail_body(Parser *p, ParseResult result)
{
	siglongjmp(p->fail, (int) result);
}

/* Is the parser among the fields of an event? */
#define AT_FIELDS(p) ((p)->in_event && (p)->depth == (p)->event_depth + 1)

static bool
add_metadata(Parser *p, MetadataToken token, const char *text)
{
	return p->in_event && FieldAddMetadata(&p->draft, token, text, AT_FIELDS(p));
}

static void
begin_event(Parser *p)
{
	if (p->index >= p->rules->max_events)
	{
		snprintf(p->body_error, EVENT_ERROR_SIZE,
				 "events holds more than %d events (fast_ingest.max_bulk_events)",
				 p->rules->max_events);
		fail_body(p, PARSE_TOO_MANY);
	}
	p->receiver->begin(p->receiver->arg);
	p->draft = (EventDraft){.lex = p->draft.lex};
	p->in_event = true;
}

static void
end_event(Parser *p)
{
	if (p->draft.error[0] == '\0')
		EventValidate(&p->draft.event, p->rules, p->draft.error);
	p->in_event = false;
	p->receiver->end(p->receiver->arg, p->index++, &p->draft.event,
					 p->draft.error[0] != '\0' ? p->draft.error : NULL);
}

/*
 * Called when the text of a token has been read, which ends before end: reject the event if
 * the text has an escape that PostgreSQL cannot store. holder names the text for the
 * message.
 */
static void
reject_escapes(Parser *p, const char *holder, const char *end)
{
	const char *mark = p->mark;

	if (mark == NULL || mark >= end)
		return;
	p->mark = EscapeFind(end, p->body_end);
	if (p->in_event)
		reject_event(&p->draft, "%s holds %s at byte %zu: expected text without it", holder,
					 EscapeName(mark), (size_t) (mark - p->body));
}

/*
 * Go one level down; fail if the body is nested too deeply
 */
static void
enter_container(Parser *p)
{
	CHECK_FOR_INTERRUPTS();
	if (++p->depth > MAX_DEPTH)
	{
		snprintf(p->body_error, EVENT_ERROR_SIZE,
				 "invalid JSON at byte %zu: nested more than %d levels deep",
				 (size_t) (p->draft.lex->token_start - p->body), MAX_DEPTH);
		fail_body(p, PARSE_UNREADABLE);
	}
}

static JsonActionResult
begin_object(void *state)
{
	Parser *p = state;

	if (!p->in_event && p->depth == p->event_depth)
		begin_event(p);
	(void) add_metadata(p, METADATA_BEGIN_OBJECT, NULL);
	enter_container(p);
	JSON_ACTION_OK;
}

static JsonActionResult
end_object(void *state)
{
	Parser *p = state;

	p->depth--;
	if (p->in_event && p->depth == p->event_depth)
		end_event(p);
	else
		(void) add_metadata(p, METADATA_END_OBJECT, NULL);
	JSON_ACTION_OK;
}

static JsonActionResult
begin_array(void *state)
{
	Parser *p = state;

	if (p->depth == 0 && p->shape == BODY_BULK)
	{
		p->event_depth = 1;
		p->seen_events = true;
	}
	if (AT_FIELDS(p) && p->draft.field != NULL && p->draft.field->kind == FIELD_TAGS)
		p->draft.event.has_tags = true;
	(void) add_metadata(p, METADATA_BEGIN_ARRAY, NULL);
	enter_container(p);
	JSON_ACTION_OK;
}

static JsonActionResult
end_array(void *state)
{
	Parser *p = state;

	p->depth--;
	if (!p->in_event && p->depth == p->event_depth - 1)
		p->event_depth = NO_EVENT;
	(void) add_metadata(p, METADATA_END_ARRAY, NULL);
	JSON_ACTION_OK;
}

static JsonActionResult
begin_element(void *state, bool isnull)
{
	Parser *p = state;

	if (!p->in_event && p->depth == p->event_depth &&
		p->draft.lex->token_type != JSON_TOKEN_OBJECT_START)
	{
		begin_event(p);
		reject_event(&p->draft, "event is %s: expected an object", FieldDescribeValue(&p->draft));
		end_event(p);
	}
	else if (p->in_event && p->depth == p->event_depth + 2 && p->draft.field != NULL &&
			 p->draft.field->kind == FIELD_TAGS && p->draft.lex->token_type != JSON_TOKEN_STRING)
		reject_event(&p->draft, "tags holds %s: expected an array of text",
					 FieldDescribeValue(&p->draft));
	JSON_ACTION_OK;
}

static JsonActionResult
begin_field(void *state, char *fname, bool isnull)
{
	Parser *p = state;

	reject_escapes(p, AT_FIELDS(p) ? "the name of a field" : "metadata", p->draft.lex->token_start);
	if (AT_FIELDS(p))
	{
		p->draft.field = FieldFind(p->fields, fname);
		if (p->draft.field == &UnknownField)
		{
			if (!p->rules->fold_unknown)
				reject_event(&p->draft, "unknown field %s", QuoteValue(fname, strlen(fname)));
			(void) add_metadata(p, METADATA_KEY, fname);
		}
		else
		{
			uint32 bit = 1U << (p->draft.field - p->fields.fields);

			if (p->draft.seen & bit)
				reject_event(&p->draft, "%s is given twice", fname);
			p->draft.seen |= bit;
			if (isnull)
				p->draft.field = NULL;
			else
				FieldCheckType(&p->draft, p->draft.field);
		}
	}
	else if (p->in_event)
		(void) add_metadata(p, METADATA_KEY, fname);
	else if (p->depth == 1 && p->shape == BODY_BULK && p->event_depth != 1)
	{
		/* {"events": [...]} */
		if (strcmp(fname, "events") != 0)
		{
			snprintf(p->body_error, EVENT_ERROR_SIZE,
					 "unknown field %s: expected an array of events, {\"events\": [...]}, or, with "
					 "Content-Type application/x-ndjson, one event a line",
					 QuoteValue(fname, strlen(fname)));
			fail_body(p, PARSE_UNREADABLE);
		}
		if (p->draft.lex->token_type != JSON_TOKEN_ARRAY_START || p->seen_events)
		{
			snprintf(p->body_error, EVENT_ERROR_SIZE, "events is %s: expected an array",
					 p->seen_events ? "given twice" : FieldDescribeValue(&p->draft));
			fail_body(p, PARSE_UNREADABLE);
		}
		p->seen_events = true;
		p->event_depth = 2;
	}
	JSON_ACTION_OK;
}

static JsonActionResult
end_field(void *state, char *fname, bool isnull)
{
	Parser *p = state;

	if (AT_FIELDS(p))
		p->draft.field = NULL;
	JSON_ACTION_OK;
}

static MetadataToken
find_metadata_token(JsonTokenType type)
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
 * Take a value, which the parser has allocated. Free it at once if the event does not keep
 * it: a body may hold millions of such values.
 */
static JsonActionResult
take_scalar(void *state, char *token, JsonTokenType type)
{
	Parser *p = state;
	bool kept = false;

	CHECK_FOR_INTERRUPTS();
	reject_escapes(p,
				   p->draft.field != NULL && p->draft.field->name != NULL ? p->draft.field->name
																		  : "metadata",
				   p->draft.lex->prev_token_terminator);
	if (p->in_event && p->draft.field != NULL)
	{
		if (p->draft.field->kind == FIELD_METADATA || p->draft.field->kind == FIELD_UNKNOWN)
			kept = add_metadata(p, find_metadata_token(type), token);
		else if (p->depth == p->event_depth + 1)
			kept = FieldSetValue(&p->draft, token, type);
		else if (p->depth == p->event_depth + 2 && p->draft.field->kind == FIELD_TAGS)
			kept = FieldAddTag(&p->draft, token);
	}
	if (!kept)
		pfree(token);
	JSON_ACTION_OK;
}

/*
 * Remove the last character, which may be incomplete, of a message of len bytes
 */
static void
cut_at_character(char *message, size_t len)
{
	while (len > 0 && ((unsigned char) message[len - 1] & 0xC0) == 0x80)
		len--;
	message[len > 0 ? len - 1 : 0] = '\0';
}

/*
 * Tell the client which shape of body it may have meant; "" if there is no hint
 */
static const char *
hint_at_shape(const Parser *p, JsonParseErrorType error)
{
	if (p->shape == BODY_NDJSON)
		return " Send one event a line.";
	if (error != JSON_EXPECTED_END)
		return "";
	if (p->shape == BODY_BULK)
		return " Send one array, or, with Content-Type application/x-ndjson, one event a line.";
	return p->rules->form == EVENT_FORM_FULL ? " Send several events to /events/bulk."
											 : " Send one event a request.";
}

/*
 * Parse one JSON text, which begins at the given offset of the body
 */
static bool
parse_text(Parser *p, char *body, size_t offset, size_t len)
{
	JsonParseErrorType result;
	JsonSemAction actions = {
		.semstate = p,
		.object_start = begin_object,
		.object_end = end_object,
		.array_start = begin_array,
		.array_end = end_array,
		.object_field_start = begin_field,
		.object_field_end = end_field,
		.array_element_start = begin_element,
		.scalar = take_scalar,
	};

	p->depth = 0;
	p->event_depth = p->shape == BODY_BULK ? NO_EVENT : 0;
	p->in_event = false;
	p->draft.lex = MakeJsonLexer(body + offset, len);
	result = pg_parse_json(p->draft.lex, &actions);
	if (result != JSON_SUCCESS)
	{
		const char *at =
			p->draft.lex->token_start ? p->draft.lex->token_start : p->draft.lex->token_terminator;
		int used = snprintf(p->body_error, EVENT_ERROR_SIZE, "invalid JSON at byte %zu: %s%s",
							(size_t) (at - body), json_errdetail(result, p->draft.lex),
							hint_at_shape(p, result));

		if (used >= EVENT_ERROR_SIZE)
			cut_at_character(p->body_error, EVENT_ERROR_SIZE - 1);
		return false;
	}
	return true;
}

/*
 * Skip a byte order mark at the given offset: some programs write one before JSON
 */
static size_t
skip_byte_order_mark(const char *body, size_t offset, size_t end)
{
	bool marked =
		end - offset >= strlen(UTF8_BOM) && memcmp(body + offset, UTF8_BOM, strlen(UTF8_BOM)) == 0;

	return marked ? offset + strlen(UTF8_BOM) : offset;
}

/*
 * Parse the lines of an NDJSON body. Blank lines are ignored
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

		start = skip_byte_order_mark(body, start, end);
		while (text_end > start && strchr(" \t\r", body[text_end - 1]) != NULL)
			text_end--;
		if (text_end > start)
		{
			if (!parse_text(p, body, start, text_end - start))
				return false;
			if (p->index == index)
			{
				begin_event(p);
				reject_event(&p->draft,
							 "event is not an object: expected a JSON object on each line");
				end_event(p);
			}
		}
		start = end + 1;
	}
	return true;
}

/*
 * Is the body UTF-8?
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
	return true;
}

ParseResult
ParseEvents(char *body, size_t len, BodyShape shape, const EventRules *rules,
			const EventReceiver *receiver, char error[EVENT_ERROR_SIZE])
{
	Parser parser = {
		.rules = rules,
		.receiver = receiver,
		.body = body,
		.body_end = body + len,
		.shape = shape,
		.body_error = error,
		.fields = FieldsOf(rules->form),
	};
	Parser *volatile p = &parser;
	size_t start = skip_byte_order_mark(body, 0, len);
	int failure;

	if (!check_encoding(body, len, error))
		return PARSE_UNREADABLE;
	EscapesReplace(body, len);
	p->mark = EscapeFind(body, body + len);
	if ((failure = sigsetjmp(p->fail, 0)) != 0)
		return (ParseResult) failure;

	if (shape == BODY_NDJSON ? !parse_lines(p, body, len)
							 : !parse_text(p, body, start, len - start))
		return PARSE_UNREADABLE;

	if (shape == BODY_SINGLE && p->index == 0)
		snprintf(error, EVENT_ERROR_SIZE, "body is not an object: expected one event%s",
				 rules->form == EVENT_FORM_FULL ? "; several go to /events/bulk" : "");
	else if (shape == BODY_BULK && !p->seen_events)
		snprintf(error, EVENT_ERROR_SIZE,
				 "body holds no events: expected an array or {\"events\": [...]}");
	else if (p->index == 0)
		snprintf(error, EVENT_ERROR_SIZE, "events is empty: expected at least one event");
	else
		return PARSE_DONE;
	return PARSE_UNREADABLE;
}
