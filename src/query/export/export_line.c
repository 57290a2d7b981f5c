/*
 * export_line.c
 *
 * Times are RFC 3339 with microseconds, because that reads back exactly: a JSON number with so
 * many digits is not safe in programs that keep numbers as double.
 */
#include "postgres.h"

#include "query/export/export_line.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "base/compat.h"
#include "event/content_key.h"
#include "event/json_line.h"
#include "query/answers/write_csv.h"

static const struct
{
	int column;
	const char *name;
} texts[] = {
	{EXPORT_EVENT_NAME, "event_name"},	 {EXPORT_CHANNEL, "channel"}, {EXPORT_USER_ID, "user_id"},
	{EXPORT_CAMPAIGN_ID, "campaign_id"}, {EXPORT_SITE_ID, "site_id"}, {EXPORT_PATH, "path"},
};

/*
 * A column's text; data is NULL where the column is
 */
static Slice
read_text(const ExportRow *row, int column)
{
	bool isnull;
	Datum value = SPI_getbinval(row->tuple, row->desc, column, &isnull);
	struct varlena *text;

	if (isnull)
		return (Slice){NULL, 0};
	text = PG_DETOAST_DATUM_PACKED(value);
	return (Slice){VARDATA_ANY(text), VARSIZE_ANY_EXHDR(text)};
}

/*
 * Append a column of JSON, which jsonb prints on one line; false if it is NULL
 */
static bool
append_metadata(StringInfo text, const ExportRow *row)
{
	bool isnull;
	Datum value = SPI_getbinval(row->tuple, row->desc, EXPORT_METADATA, &isnull);
	Jsonb *metadata;

	if (isnull)
		return false;
	metadata = DatumGetJsonbP(value);
	(void) JsonbToCString(text, &metadata->root, VARSIZE(metadata));
	return true;
}

/*
 * Append the tags as an array of JSON; false if there are none
 */
static bool
append_tags(StringInfo text, const ExportRow *row)
{
	bool isnull;
	Datum value = SPI_getbinval(row->tuple, row->desc, EXPORT_TAGS, &isnull);
	Datum *elements;
	bool *nulls;
	int n;

	if (isnull)
		return false;
	deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false, TYPALIGN_INT, &elements,
					  &nulls, &n);
	appendStringInfoChar(text, '[');
	for (int i = 0; i < n; i++)
	{
		struct varlena *tag = nulls[i] ? NULL : PG_DETOAST_DATUM_PACKED(elements[i]);

		if (i > 0)
			appendStringInfoChar(text, ',');
		JsonLineText(text, tag == NULL ? (Slice){NULL, 0}
									   : (Slice){VARDATA_ANY(tag), VARSIZE_ANY_EXHDR(tag)});
	}
	appendStringInfoChar(text, ']');
	return true;
}

/*
 * Remove what was appended for a member that is left out
 */
static void
cut_text(StringInfo text, int len)
{
	text->len = len;
	text->data[len] = '\0';
}

/*
 * Append a UUID without the quotes that JsonLineUuid() puts around it
 */
static void
append_uuid(StringInfo text, const pg_uuid_t *uuid)
{
	int begin = text->len;

	JsonLineUuid(text, uuid->data);
	memmove(text->data + begin, text->data + begin + 1, text->len - begin - 2);
	cut_text(text, text->len - 2);
}

void
ExportLineJson(StringInfo text, const ExportRow *row)
{
	int begin;

	appendStringInfoChar(text, '{');
	for (int i = 0; i < (int) lengthof(texts); i++)
	{
		Slice value = read_text(row, texts[i].column);

		if (texts[i].column == EXPORT_CAMPAIGN_ID)
		{
			appendStringInfoString(text, "\"timestamp\":");
			JsonLineTime(text, row->place.ts);
			appendStringInfoChar(text, ',');
		}
		if (value.data == NULL)
			continue;
		appendStringInfo(text, "\"%s\":", texts[i].name);
		JsonLineText(text, value);
		appendStringInfoChar(text, ',');
	}

	begin = text->len;
	appendStringInfoString(text, "\"tags\":");
	if (append_tags(text, row))
		appendStringInfoChar(text, ',');
	else
		cut_text(text, begin);

	begin = text->len;
	appendStringInfoString(text, "\"metadata\":");
	if (append_metadata(text, row))
		appendStringInfoChar(text, ',');
	else
		cut_text(text, begin);

	if (row->place.has_key)
	{
		appendStringInfoString(text, "\"idempotency_key\":\"" EVENT_KEY_PREFIX);
		append_uuid(text, &row->place.key);
		appendStringInfoString(text, "\",");
	}
	/* there is always a comma behind the last member */
	cut_text(text, text->len - 1);
	appendStringInfoString(text, "}\n");
}

/*
 * Append a text of len bytes as a field; NULL is nothing
 */
static void
append_field(StringInfo text, const char *value, size_t len)
{
	if (value != NULL && len == 0)
		appendStringInfoString(text, "\"\"");
	else if (value != NULL)
		WriteCsvText(text, pnstrdup(value, len));
}

/*
 * Append a time without the quotes of JSON
 */
static void
append_time(StringInfo text, TimestampTz time)
{
	StringInfoData quoted;

	initStringInfo(&quoted);
	JsonLineTime(&quoted, time);
	appendBinaryStringInfo(text, quoted.data + 1, quoted.len - 2);
}

/*
 * Append what a function appends, as a field
 */
static void
append_json_field(StringInfo text, const ExportRow *row,
				  bool (*append)(StringInfo, const ExportRow *))
{
	StringInfoData value;

	initStringInfo(&value);
	if (append(&value, row))
		append_field(text, value.data, value.len);
	appendStringInfoChar(text, ',');
}

void
ExportLineCsv(StringInfo text, const ExportRow *row)
{
	bool isnull;
	Datum ingested_at = SPI_getbinval(row->tuple, row->desc, EXPORT_INGESTED_AT, &isnull);

	for (int i = 0; i < (int) lengthof(texts); i++)
	{
		Slice value = read_text(row, texts[i].column);

		if (texts[i].column == EXPORT_CAMPAIGN_ID)
		{
			append_time(text, row->place.ts);
			appendStringInfoChar(text, ',');
		}
		append_field(text, value.data, value.len);
		appendStringInfoChar(text, ',');
	}
	append_json_field(text, row, append_tags);
	append_json_field(text, row, append_metadata);
	if (row->place.has_key)
	{
		appendStringInfoString(text, EVENT_KEY_PREFIX);
		append_uuid(text, &row->place.key);
	}
	appendStringInfoChar(text, ',');
	if (!isnull)
		append_time(text, DatumGetTimestampTz(ingested_at));
	appendStringInfoString(text, "\r\n");
}

void
ExportLineCsvHeader(StringInfo text)
{
	appendStringInfoString(text, "event_name,channel,user_id,timestamp,campaign_id,site_id,path,"
								 "tags,metadata,idempotency_key,ingested_at\r\n");
}
