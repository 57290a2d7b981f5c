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

#include "event/event_fields.h"

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
FieldDescribeValue(EventDraft *draft)
{
	static char shown[48];
	int len = (int) (draft->lex->token_terminator - draft->lex->token_start);

	if (draft->lex->token_type == JSON_TOKEN_NUMBER && len < (int) sizeof(shown))
	{
		snprintf(shown, sizeof(shown), "%.*s", len, draft->lex->token_start);
		return shown;
	}
	if (draft->lex->token_type == JSON_TOKEN_TRUE)
		return "true";
	if (draft->lex->token_type == JSON_TOKEN_FALSE)
		return "false";
	return name_type(draft->lex->token_type);
}

void
FieldCheckType(EventDraft *draft, const Field *field)
{
	JsonTokenType type = draft->lex->token_type;

	switch (field->kind)
	{
		case FIELD_TEXT:
			if (type != JSON_TOKEN_STRING)
				reject_event(draft, "%s is %s: expected text", field->name,
							 FieldDescribeValue(draft));
			break;
		case FIELD_TIMESTAMP:
			if (type != JSON_TOKEN_STRING && type != JSON_TOKEN_NUMBER)
				reject_event(draft, "timestamp is %s: expected " TIMESTAMP_EXPECTED,
							 FieldDescribeValue(draft));
			break;
		case FIELD_TAGS:
			if (type != JSON_TOKEN_ARRAY_START)
				reject_event(draft, "tags is %s: expected an array of text",
							 FieldDescribeValue(draft));
			break;
		case FIELD_METADATA:
			if (type != JSON_TOKEN_OBJECT_START)
				reject_event(draft, "metadata is %s: expected an object",
							 FieldDescribeValue(draft));
			break;
		case FIELD_UNKNOWN:
			break;
	}
}

bool
FieldSetValue(EventDraft *draft, char *token, JsonTokenType type)
{
	Event *event = &draft->event;
	Slice text = {token, strlen(token)};

	if (draft->field->kind == FIELD_TEXT && type == JSON_TOKEN_STRING)
		*(Slice *) ((char *) event + draft->field->offset) = text;
	else if (draft->field->kind == FIELD_TIMESTAMP)
	{
		const char *wrong;

		event->timestamp = (Slice){token, Min(text.len, 40)};
		event->has_timestamp = TimestampRead(token, text.len, &event->time, &wrong);
		if (!event->has_timestamp)
			reject_event(draft, "timestamp %s %s: expected " TIMESTAMP_EXPECTED,
						 QuoteValue(token, text.len), wrong);
	}
	else
		return false;
	return true;
}

bool
FieldAddTag(EventDraft *draft, char *token)
{
	Event *event = &draft->event;

	if (event->ntags == MAX_TAGS)
	{
		reject_event(draft, "tags holds more than %d elements", MAX_TAGS);
		return false;
	}
	if (event->ntags >= draft->tags_room)
	{
		draft->tags_room = Max(8, draft->tags_room * 2);
		if (event->tags == NULL)
			event->tags = palloc(draft->tags_room * sizeof(Slice));
		else
			event->tags = repalloc(event->tags, draft->tags_room * sizeof(Slice));
	}
	event->tags[event->ntags++] = (Slice){token, strlen(token)};
	return true;
}

bool
FieldAddMetadata(EventDraft *draft, MetadataToken token, const char *text, bool own)
{
	const Field *field = draft->field;

	if (field == NULL || draft->error[0] != '\0')
		return false;
	if (field->kind != FIELD_METADATA && field->kind != FIELD_UNKNOWN)
		return false;
	draft->event.has_metadata = true;
	if (field->kind == FIELD_METADATA && own)
		return false; /* the braces of metadata itself */
	if (++draft->metadata_tokens > MAX_METADATA_TOKENS)
	{
		reject_event(draft, "metadata holds more than %d keys and values", MAX_METADATA_TOKENS);
		return false;
	}
	MetadataAdd(&draft->event.metadata, token, text);
	return true;
}
