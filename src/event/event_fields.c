/*
 * event_fields.c
 *
 * The fields that an event may have, their types, and how their values are stored.
 */
#ifdef FRONTEND
#include "postgres_fe.h"
#else
#include "postgres.h"
#endif

#include "event/parse_private.h"

#include "event/timestamp.h"
#include "event/validate.h"

/*
 * Keys, values and containers of one event's metadata. Each takes some hundred bytes
 * while jsonb is built, and a client can send one in two bytes.
 */
#define MAX_METADATA_TOKENS 100000

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

const Field UnknownField = {NULL, FIELD_UNKNOWN, 0};

FieldList
FieldsOf(EventForm form)
{
	if (form == EVENT_FORM_WEBSITE)
		return (FieldList){website_fields, lengthof(website_fields)};
	return (FieldList){full_fields, lengthof(full_fields)};
}

const Field *
FieldFind(FieldList fields, const char *name)
{
	for (int i = 0; i < fields.n; i++)
		if (strcmp(fields.fields[i].name, name) == 0)
			return &fields.fields[i];
	return &UnknownField;
}

static const char *
name_type(JsonTokenType type)
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
 * Returns the value itself if it is a short number or a boolean, else its type
 */
const char *
FieldDescribeValue(Parser *p)
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
	return name_type(p->lex->token_type);
}

void
FieldCheckType(Parser *p, const Field *field)
{
	JsonTokenType type = p->lex->token_type;

	switch (field->kind)
	{
		case FIELD_TEXT:
			if (type != JSON_TOKEN_STRING)
				reject_event(p, "%s is %s: expected text", field->name, FieldDescribeValue(p));
			break;
		case FIELD_TIMESTAMP:
			if (type != JSON_TOKEN_STRING && type != JSON_TOKEN_NUMBER)
				reject_event(p, "timestamp is %s: expected " TIMESTAMP_EXPECTED,
							 FieldDescribeValue(p));
			break;
		case FIELD_TAGS:
			if (type != JSON_TOKEN_ARRAY_START)
				reject_event(p, "tags is %s: expected an array of text", FieldDescribeValue(p));
			break;
		case FIELD_METADATA:
			if (type != JSON_TOKEN_OBJECT_START)
				reject_event(p, "metadata is %s: expected an object", FieldDescribeValue(p));
			break;
		case FIELD_UNKNOWN:
			break;
	}
}

bool
FieldSetValue(Parser *p, char *token, JsonTokenType type)
{
	Event *event = &p->event;
	Slice text = {token, strlen(token)};

	if (p->field->kind == FIELD_TEXT && type == JSON_TOKEN_STRING)
		*(Slice *) ((char *) event + p->field->offset) = text;
	else if (p->field->kind == FIELD_TIMESTAMP)
	{
		const char *wrong;

		event->timestamp = (Slice){token, Min(text.len, 40)};
		event->has_timestamp = TimestampRead(token, text.len, &event->time, &wrong);
		if (!event->has_timestamp)
			reject_event(p, "timestamp %s %s: expected " TIMESTAMP_EXPECTED,
						 QuoteValue(token, text.len), wrong);
	}
	else
		return false;
	return true;
}

bool
FieldAddTag(Parser *p, char *token)
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

bool
FieldAddMetadata(Parser *p, MetadataToken token, const char *text)
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
	MetadataAdd(&p->event.metadata, token, text);
	return true;
}
