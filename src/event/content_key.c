/*
 * content_key.c
 *
 * A key is the beginning of a SHA-256 digest. Different events do not get the same key
 * by chance, and no client can make two that do. Keys are not secret: somebody who
 * knows all of an event of the same tenant, or its key, can store it first.
 *
 * A content key begins with the event's time in milliseconds, as a UUIDv7 does.
 * The time is part of the content, so the key depends on nothing else, and the
 * unique index of a day grows at its right edge. 80 bits of the digest tell the events
 * of one millisecond apart.
 */
#include "postgres.h"

#include "event/content_key.h"

#include <ctype.h>

#include "lib/stringinfo.h"
#include "utils/fmgrprotos.h"
#include "utils/formatting.h"
#include "utils/uuid.h"

#include "base/sha256.h"
#include "base/unix_time.h"

/*
 * Make a key: the first size bytes of the content's digest
 */
static void
make_key(const StringInfo content, unsigned char *key, size_t size)
{
	Slice text = {content->data, content->len};
	Sha256Digest digest;

	if (!Sha256(Sha256ProcessContext(), &text, 1, &digest))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not compute a SHA-256 digest")));
	memcpy(key, digest.bytes, size);
}

/*
 * Append a value with its length, so that different events give different bytes
 */
static void
append_slice(StringInfo buffer, Slice value)
{
	uint32 len = value.data ? (uint32) value.len : PG_UINT32_MAX;

	appendBinaryStringInfo(buffer, (const char *) &len, sizeof(len));
	if (value.data)
		appendBinaryStringInfo(buffer, value.data, (int) value.len);
}

/*
 * Is it a UUID, in its 8-4-4-4-12 form?
 */
static bool
is_uuid(Slice text)
{
	if (text.len != 36)
		return false;
	for (size_t i = 0; i < text.len; i++)
	{
		bool dash = i == 8 || i == 13 || i == 18 || i == 23;

		if (dash ? text.data[i] != '-' : !isxdigit((unsigned char) text.data[i]))
			return false;
	}
	return true;
}

/*
 * Read the event_key behind EVENT_KEY_PREFIX; false if the text is not that
 */
static bool
read_event_key(Slice text, unsigned char key[EVENT_KEY_SIZE])
{
	size_t prefix = strlen(EVENT_KEY_PREFIX);
	Slice digits = {text.data + prefix, text.len - prefix};
	Datum uuid;

	if (text.len <= prefix || memcmp(text.data, EVENT_KEY_PREFIX, prefix) != 0 || !is_uuid(digits))
		return false;
	uuid = DirectFunctionCall1(uuid_in, CStringGetDatum(pnstrdup(digits.data, digits.len)));
	memcpy(key, DatumGetUUIDP(uuid)->data, EVENT_KEY_SIZE);
	return true;
}

void
KeyFromIdempotencyKey(const Event *event, const EventSender *sender,
					  unsigned char key[EVENT_KEY_SIZE])
{
	Slice text = event->idempotency_key;
	int32 position = event->key_position;
	int32 day = EVENT_DAY(event->time);
	StringInfoData identity;

	if (sender->may_give_event_key && position == 0 && read_event_key(text, key))
		return;
	if (is_uuid(text))
		text.data = asc_tolower(text.data, text.len);
	initStringInfo(&identity);
	append_slice(&identity, sender->tenant);
	append_slice(&identity, event->site_id);
	append_slice(&identity, text);
	/* the day is part of the key because a partition made by a user may hold many days */
	appendBinaryStringInfo(&identity, (const char *) &day, sizeof(day));
	if (position > 0)
		appendBinaryStringInfo(&identity, (const char *) &position, sizeof(position));
	make_key(&identity, key, EVENT_KEY_SIZE);
}

void
KeyFromContent(const Event *event, const EventSender *sender, Slice metadata,
			   unsigned char key[EVENT_KEY_SIZE])
{
	StringInfoData content;
	uint32 ntags = event->has_tags ? (uint32) event->ntags : PG_UINT32_MAX;
	uint64 milliseconds = (uint64) event->time / 1000;

	initStringInfo(&content);
	append_slice(&content, sender->tenant);
	appendBinaryStringInfo(&content, (const char *) &event->time, sizeof(event->time));
	append_slice(&content, event->event_name);
	append_slice(&content, event->channel);
	append_slice(&content, event->user_id);
	append_slice(&content, event->campaign_id);
	append_slice(&content, event->site_id);
	append_slice(&content, event->path);
	append_slice(&content, metadata);
	appendBinaryStringInfo(&content, (const char *) &ntags, sizeof(ntags));
	for (int i = 0; i < event->ntags; i++)
		append_slice(&content, event->tags[i]);

	for (int i = 0; i < 6; i++)
		key[i] = (unsigned char) (milliseconds >> (8 * (5 - i)));
	make_key(&content, key + 6, EVENT_KEY_SIZE - 6);
}
