/*
 * json_metadata.c
 *
 * Tokens of metadata -> jsonb, by PostgreSQL's own construction of jsonb.
 */
#include "postgres.h"

#include "event/json_metadata.h"

#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

/* Digits that an int64 holds for sure. */
#define INTEGER_DIGITS 18

static JsonbParseState *state = NULL;

void
MetadataReset(void)
{
	state = NULL;
}

/*
 * A number as numeric; whole numbers take a short way to the same result
 */
static Numeric
read_number(const char *text)
{
	const char *digits = text + (text[0] == '-');
	size_t len = strspn(digits, "0123456789");

	if (len <= INTEGER_DIGITS && digits[len] == '\0')
		return int64_to_numeric(strtoll(text, NULL, 10));
	return DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(text),
											   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
}

void
MetadataAdd(MetadataToken token, const char *text)
{
	JsonbValue value;
	JsonbIteratorToken place;

	if (state == NULL)
		(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	place = state->contVal.type == jbvObject ? WJB_VALUE : WJB_ELEM;

	switch (token)
	{
		case METADATA_BEGIN_OBJECT:
			(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
			return;
		case METADATA_END_OBJECT:
			(void) pushJsonbValue(&state, WJB_END_OBJECT, NULL);
			return;
		case METADATA_BEGIN_ARRAY:
			(void) pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
			return;
		case METADATA_END_ARRAY:
			(void) pushJsonbValue(&state, WJB_END_ARRAY, NULL);
			return;
		case METADATA_KEY:
			place = WJB_KEY;
			/* FALLTHROUGH */
		case METADATA_STRING:
			value.type = jbvString;
			value.val.string.val = (char *) text;
			value.val.string.len = (int) strlen(text);
			break;
		case METADATA_NUMBER:
			value.type = jbvNumeric;
			value.val.numeric = read_number(text);
			break;
		case METADATA_TRUE:
		case METADATA_FALSE:
			value.type = jbvBool;
			value.val.boolean = token == METADATA_TRUE;
			break;
		case METADATA_NULL:
			value.type = jbvNull;
			break;
	}
	(void) pushJsonbValue(&state, place, &value);
}

Datum
MetadataFinish(void)
{
	JsonbValue *object;

	if (state == NULL)
		(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	object = pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	return JsonbPGetDatum(JsonbValueToJsonb(object));
}
