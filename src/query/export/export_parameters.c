/*
 * export_parameters.c
 *
 * Reads the parameters of GET /export, and reads and prints cursors. Links without a server.
 */
#include "postgres.h"

#include "query/export/export_parameters.h"

#include "base/time_ranges.h"
#include "query/parameters/parameter_values.h"

/*
 * Read "format": bool, is it CSV?
 */
static void
read_format(const char *name, const char *value, void *field)
{
	bool csv = strcmp(value, "csv") == 0;

	if (!csv && strcmp(value, "ndjson") != 0)
		ParameterRefuse(name, value, "ndjson or csv");
	*(bool *) field = csv;
}

/*
 * Read n hexadecimal digits; false if there are others
 */
static bool
read_hex(const char **p, int n, unsigned char *bytes)
{
	for (int i = 0; i < n; i++)
	{
		const char *digits = "0123456789abcdef";
		const char *digit = **p != '\0' ? strchr(digits, **p) : NULL;

		if (digit == NULL)
			return false;
		bytes[i / 2] = (unsigned char) (bytes[i / 2] << 4 | (digit - digits));
		(*p)++;
	}
	return true;
}

/*
 * Read a place as ExportCursorPrint() prints it: ts, the number of rows, and "k" and the key or
 * "h" and the hash in hexadecimal digits, with "_" between them.
 */
static bool
read_place(const char *cursor, ExportPlace *place)
{
	char *end;
	const char *rest;
	unsigned char hash[sizeof(place->hash)];

	errno = 0;
	place->ts = strtoll(cursor, &end, 10);
	if (end == cursor || *end != '_' || errno != 0)
		return false;
	rest = end + 1;
	place->n = strtoll(rest, &end, 10);
	if (end == rest || *end != '_' || errno != 0 || place->n < 1)
		return false;
	rest = end + 2;
	place->has_key = end[1] == 'k';
	if (place->has_key)
		return read_hex(&rest, 2 * UUID_LEN, place->key.data) && *rest == '\0';
	if (end[1] != 'h' || !read_hex(&rest, 2 * sizeof(hash), hash) || *rest != '\0')
		return false;
	memcpy(&place->hash, hash, sizeof(hash));
	return true;
}

void
ExportCursorPrint(const ExportPlace *place, char cursor[EXPORT_CURSOR_SIZE])
{
	const unsigned char *bytes =
		place->has_key ? place->key.data : (const unsigned char *) &place->hash;
	int n = place->has_key ? UUID_LEN : (int) sizeof(place->hash);
	int len = snprintf(cursor, EXPORT_CURSOR_SIZE, INT64_FORMAT "_" INT64_FORMAT "_%c", place->ts,
					   place->n, place->has_key ? 'k' : 'h');

	for (int i = 0; i < n; i++)
		len += snprintf(cursor + len, EXPORT_CURSOR_SIZE - len, "%02x", bytes[i]);
}

static const Parameter known[] = {
	{"event_name", ParameterReadText, offsetof(ExportParameters, query.event_name)},
	{"from", ParameterReadFrom, offsetof(ExportParameters, query)},
	{"to", ParameterReadTo, offsetof(ExportParameters, query)},
	{"format", read_format, offsetof(ExportParameters, csv)},
	{"limit", ParameterReadLimit, offsetof(ExportParameters, limit)},
	{"cursor", ParameterReadText, offsetof(ExportParameters, cursor)},
};
const ParameterTable ExportParameterTable = {known, lengthof(known), true};

void
ExportParametersRead(ExportParameters *parameters, const char *list, size_t len)
{
	MetricsQuery *query = &parameters->query;

	*parameters = (ExportParameters){.query = {.from = TIME_BEGIN, .to = TIME_END}};
	ParameterTableRead(&ExportParameterTable, list, len, parameters, query);
	if (parameters->cursor != NULL && !read_place(parameters->cursor, &parameters->behind))
		ParameterRefuse("cursor", parameters->cursor, "the header Next-Cursor of an answer");
	if (query->from >= query->to)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("from is not before to: expected a range that is not empty")));
}
