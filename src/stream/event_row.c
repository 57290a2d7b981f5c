/*
 * event_row.c
 *
 * Reading rows of fast_ingest.events. No catalog is read, and nothing is copied that need not
 * be: compressed values and jsonb are written out in the current memory context.
 */
#include "postgres.h"

#include "stream/event_row.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "base/compat.h"

#define MAX_EVENT (100 * 1024 * 1024) /* bytes of text: escaped, and in base64, it fits in 1 GB */
#define LONGEST_ESCAPE 6			  /* \u0001 */
#define SHORT_METADATA 4096			  /* whose text cannot be as long, whatever it holds */

/*
 * Which types a column may have. A varchar is as good as a text.
 */
static bool
is_type_of(StreamColumn column, Oid type)
{
	switch (column)
	{
		case COLUMN_TS:
		case COLUMN_INGESTED_AT:
			return type == TIMESTAMPTZOID;
		case COLUMN_TAGS:
			return type == TEXTARRAYOID || type == VARCHARARRAYOID;
		case COLUMN_METADATA:
			return type == JSONBOID;
		case COLUMN_EVENT_KEY:
			return type == UUIDOID;
		default:
			return type == TEXTOID || type == VARCHAROID;
	}
}

bool
EventRowMapMake(EventRowMap *map, TupleDesc desc)
{
	int found = 0;

	memset(map, 0, sizeof(*map));
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (attribute->attisdropped)
			continue;
		for (int column = 0; column < NUM_STREAM_COLUMNS; column++)
		{
			if (strcmp(NameStr(attribute->attname), StreamColumnNames[column]) != 0)
				continue;
			if (!is_type_of((StreamColumn) column, attribute->atttypid))
				return false;
			map->columns[column] = attribute->attnum;
			found++;
		}
	}
	return found == NUM_STREAM_COLUMNS;
}

static Slice
read_text(Datum value)
{
	struct varlena *text = PG_DETOAST_DATUM_PACKED(value);

	return (Slice){VARDATA_ANY(text), VARSIZE_ANY_EXHDR(text)};
}

/*
 * All elements in a row, whatever the dimensions
 */
static void
read_tags(Datum value, StreamEvent *event)
{
	ArrayType *array = DatumGetArrayTypeP(value);
	Datum *elements;
	bool *nulls;

	deconstruct_array(array, ARR_ELEMTYPE(array), -1, false, TYPALIGN_INT, &elements, &nulls,
					  &event->ntags);
	event->has_tags = true;
	event->tags = palloc(Max(event->ntags, 1) * sizeof(Slice));
	for (int i = 0; i < event->ntags; i++)
		event->tags[i] = nulls[i] ? (Slice){NULL, 0} : read_text(elements[i]);
}

/*
 * Is the text longer than so many bytes? A number of a few bytes can have a text of 131,000, so
 * a small event can have one that no buffer holds.
 */
static bool
has_long_text(Jsonb *metadata, size_t limit)
{
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue value;
	size_t len = 0;

	iterator = JsonbIteratorInit(&metadata->root);
	while (len <= limit && (token = JsonbIteratorNext(&iterator, &value, false)) != WJB_DONE)
	{
		if (token != WJB_KEY && token != WJB_VALUE && token != WJB_ELEM)
			continue;
		len += 8;
		if (value.type == jbvString)
			len += (size_t) value.val.string.len * LONGEST_ESCAPE;
		else if (value.type == jbvNumeric)
		{
			char *number = DatumGetCString(
				DirectFunctionCall1(numeric_out, NumericGetDatum(value.val.numeric)));

			len += strlen(number);
			pfree(number);
		}
	}
	return len > limit;
}

/*
 * Would the text of the event have more than MAX_EVENT bytes? Short metadata is not looked into.
 */
static bool
is_too_large(TupleDesc desc, const Datum *values, const bool *nulls, Datum metadata)
{
	size_t size = 0;

	for (int i = 0; i < desc->natts; i++)
		if (!nulls[i] && TupleDescAttr(desc, i)->attlen == -1)
			size += toast_raw_datum_size(values[i]);
	return size > MAX_EVENT ||
		   (metadata != (Datum) 0 && toast_raw_datum_size(metadata) > SHORT_METADATA &&
			has_long_text(DatumGetJsonbP(metadata), MAX_EVENT));
}

static Slice
read_metadata(Datum value)
{
	Jsonb *metadata = DatumGetJsonbP(value);
	StringInfoData text;

	initStringInfo(&text);
	(void) JsonbToCString(&text, &metadata->root, VARSIZE(metadata));
	return (Slice){text.data, text.len};
}

void
EventRowRead(const EventRowMap *map, TupleDesc desc, HeapTuple row, StreamEvent *event)
{
	static const struct
	{
		StreamColumn column;
		size_t offset;
	} texts[] = {
		{COLUMN_EVENT_NAME, offsetof(StreamEvent, event_name)},
		{COLUMN_CHANNEL, offsetof(StreamEvent, channel)},
		{COLUMN_USER_ID, offsetof(StreamEvent, user_id)},
		{COLUMN_CAMPAIGN_ID, offsetof(StreamEvent, campaign_id)},
		{COLUMN_SITE_ID, offsetof(StreamEvent, site_id)},
		{COLUMN_PATH, offsetof(StreamEvent, path)},
	};
	Datum *values = palloc(desc->natts * sizeof(Datum));
	bool *nulls = palloc(desc->natts * sizeof(bool));

#define IS_NULL(column) nulls[map->columns[column] - 1]
#define VALUE(column) values[map->columns[column] - 1]

	heap_deform_tuple(row, desc, values, nulls);
	memset(event, 0, sizeof(*event));
	event->too_large = is_too_large(desc, values, nulls,
									IS_NULL(COLUMN_METADATA) ? (Datum) 0 : VALUE(COLUMN_METADATA));
	for (int i = 0; i < (int) lengthof(texts); i++)
		if (!IS_NULL(texts[i].column))
			*(Slice *) ((char *) event + texts[i].offset) = read_text(VALUE(texts[i].column));
	if (!IS_NULL(COLUMN_TAGS) && !event->too_large)
		read_tags(VALUE(COLUMN_TAGS), event);
	if (!IS_NULL(COLUMN_METADATA) && !event->too_large)
		event->metadata = read_metadata(VALUE(COLUMN_METADATA));
	if (!IS_NULL(COLUMN_EVENT_KEY))
		event->event_key = DatumGetUUIDP(VALUE(COLUMN_EVENT_KEY))->data;
	if (!IS_NULL(COLUMN_TS))
		event->ts = DatumGetTimestampTz(VALUE(COLUMN_TS));
	if (!IS_NULL(COLUMN_INGESTED_AT))
		event->ingested_at = DatumGetTimestampTz(VALUE(COLUMN_INGESTED_AT));
#undef IS_NULL
#undef VALUE
}
