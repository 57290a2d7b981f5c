/*
 * tuple.c
 *
 * Forms minimal tuples of events. It needs a server, but no database and no
 * transaction: every type is built in, and no catalog is read.
 */
#include "postgres.h"

#include "event/tuple.h"

#include "access/tupmacs.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "datatype/timestamp.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "base/compat.h"
#include "base/unix_time.h"
#include "event/json_metadata.h"

typedef struct
{
	const char *name;
	Oid type;
	int16 len;
	char align;
	char storage;
	bool by_value;
} Column;

enum
{
	COLUMN_EVENT_NAME,
	COLUMN_CHANNEL,
	COLUMN_USER_ID,
	COLUMN_TS,
	COLUMN_CAMPAIGN_ID,
	COLUMN_SITE_ID,
	COLUMN_PATH,
	COLUMN_TAGS,
	COLUMN_METADATA,
	COLUMN_EVENT_KEY,
	NUM_COLUMNS
};

static const Column columns[NUM_COLUMNS] = {
	{"event_name", TEXTOID, -1, TYPALIGN_INT, TYPSTORAGE_EXTENDED, false},
	{"channel", TEXTOID, -1, TYPALIGN_INT, TYPSTORAGE_EXTENDED, false},
	{"user_id", TEXTOID, -1, TYPALIGN_INT, TYPSTORAGE_EXTENDED, false},
	{"ts", TIMESTAMPTZOID, 8, TYPALIGN_DOUBLE, TYPSTORAGE_PLAIN, FLOAT8PASSBYVAL},
	{"campaign_id", TEXTOID, -1, TYPALIGN_INT, TYPSTORAGE_EXTENDED, false},
	{"site_id", TEXTOID, -1, TYPALIGN_INT, TYPSTORAGE_EXTENDED, false},
	{"path", TEXTOID, -1, TYPALIGN_INT, TYPSTORAGE_EXTENDED, false},
	{"tags", TEXTARRAYOID, -1, TYPALIGN_INT, TYPSTORAGE_EXTENDED, false},
	{"metadata", JSONBOID, -1, TYPALIGN_INT, TYPSTORAGE_EXTENDED, false},
	{"event_key", UUIDOID, UUID_LEN, TYPALIGN_CHAR, TYPSTORAGE_PLAIN, false},
};

TupleDesc
EventTupleDesc(void)
{
	TupleDesc desc = CreateTemplateTupleDesc(NUM_COLUMNS);

	for (int i = 0; i < NUM_COLUMNS; i++)
	{
		const Column *column = &columns[i];
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		TupleDescInitBuiltinEntry(desc, i + 1, column->name, TEXTOID, -1, 0);
		attribute->atttypid = column->type;
		attribute->attlen = column->len;
		attribute->attalign = column->align;
		attribute->attstorage = column->storage;
		attribute->attbyval = column->by_value;
		attribute->attndims = column->type == TEXTARRAYOID ? 1 : 0;
		attribute->attcollation = column->type == TEXTOID || column->type == TEXTARRAYOID
									  ? DEFAULT_COLLATION_OID
									  : InvalidOid;
		PopulateCompactAttribute(desc, i);
	}
	return desc;
}

static Datum
make_text_datum(Slice value, bool *isnull)
{
	*isnull = value.data == NULL;
	return *isnull ? (Datum) 0 : PointerGetDatum(cstring_to_text_with_len(value.data, value.len));
}

static Datum
make_tags_datum(const Event *event, bool *isnull)
{
	Datum *elements;

	*isnull = !event->has_tags;
	if (*isnull)
		return (Datum) 0;
	elements = palloc(Max(event->ntags, 1) * sizeof(Datum));
	for (int i = 0; i < event->ntags; i++)
		elements[i] =
			PointerGetDatum(cstring_to_text_with_len(event->tags[i].data, event->tags[i].len));
	return PointerGetDatum(
		construct_array(elements, event->ntags, TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * The key that makes the event idempotent, if it has one; metadata is NULL if it has none
 */
static Datum
make_key_datum(const Event *event, const EventSender *sender, const struct varlena *metadata,
			   bool by_content, bool *isnull)
{
	pg_uuid_t *key = palloc(sizeof(pg_uuid_t));
	Slice canonical = {NULL, 0};

	*isnull = false;
	if (event->idempotency_key.data != NULL)
		KeyFromIdempotencyKey(event, sender, key->data);
	else if (by_content && event->has_timestamp)
	{
		if (metadata != NULL)
			canonical = (Slice){VARDATA_ANY(metadata), VARSIZE_ANY_EXHDR(metadata)};
		KeyFromContent(event, sender, canonical, key->data);
	}
	else
		*isnull = true;
	return UUIDPGetDatum(key);
}

MinimalTuple
EventFormTuple(TupleDesc desc, Event *event, const EventSender *sender, bool by_content)
{
	Datum values[NUM_COLUMNS];
	bool isnull[NUM_COLUMNS] = {false};
	struct varlena *metadata = NULL;

	if (event->has_metadata && (metadata = MetadataFinish(&event->metadata)) == NULL)
		return NULL;
	values[COLUMN_EVENT_NAME] = make_text_datum(event->event_name, &isnull[COLUMN_EVENT_NAME]);
	values[COLUMN_CHANNEL] = make_text_datum(event->channel, &isnull[COLUMN_CHANNEL]);
	values[COLUMN_USER_ID] = make_text_datum(event->user_id, &isnull[COLUMN_USER_ID]);
	values[COLUMN_TS] = TimestampTzGetDatum(event->time - UNIX_EPOCH_OFFSET);
	values[COLUMN_CAMPAIGN_ID] = make_text_datum(event->campaign_id, &isnull[COLUMN_CAMPAIGN_ID]);
	values[COLUMN_SITE_ID] = make_text_datum(event->site_id, &isnull[COLUMN_SITE_ID]);
	values[COLUMN_PATH] = make_text_datum(event->path, &isnull[COLUMN_PATH]);
	values[COLUMN_TAGS] = make_tags_datum(event, &isnull[COLUMN_TAGS]);
	isnull[COLUMN_METADATA] = metadata == NULL;
	values[COLUMN_METADATA] = PointerGetDatum(metadata);
	values[COLUMN_EVENT_KEY] =
		make_key_datum(event, sender, metadata, by_content, &isnull[COLUMN_EVENT_KEY]);
	return FormMinimalTuple(desc, values, isnull);
}

/*
 * The key is the last column and has no alignment, so it ends the tuple
 */
const char *
EventTupleKey(MinimalTuple tuple)
{
	if ((tuple->t_infomask & HEAP_HASNULL) && att_isnull(COLUMN_EVENT_KEY, tuple->t_bits))
		return NULL;
	return (const char *) tuple + tuple->t_len - EVENT_KEY_SIZE;
}
