/*
 * json_metadata.c
 *
 * Builds jsonb from tokens with PostgreSQL's own functions.
 */
#include "postgres.h"

#include "event/json_metadata.h"

#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

/* An int64 holds every number of so many digits. */
#define INTEGER_DIGITS 18

/*
 * Keep the message of the error that was just caught, if it is about the metadata; raise any
 * other error again. context is where the message lives.
 */
static void
keep_error(Metadata *metadata, MemoryContext context)
{
	ErrorData *error;
	char *message;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_DATA_EXCEPTION &&
		ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_PROGRAM_LIMIT_EXCEEDED)
		PG_RE_THROW();
	FlushErrorState();
	message = palloc(EVENT_ERROR_SIZE);
	snprintf(message, EVENT_ERROR_SIZE, "metadata cannot be stored: %s", error->message);
	metadata->error = message;
}

/*
 * Read a number of any size; NULL with metadata->error set if numeric cannot hold it
 */
static Numeric
read_long_number(Metadata *metadata, const char *text)
{
	MemoryContext caller = CurrentMemoryContext;
	Numeric volatile number = NULL;

	PG_TRY();
	{
		number = DatumGetNumeric(DirectFunctionCall3(
			numeric_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
	}
	PG_CATCH();
	{
		keep_error(metadata, caller);
	}
	PG_END_TRY();
	return number;
}

/*
 * Read a number. Integers that an int64 holds take a faster way to the same result.
 */
static Numeric
read_number(Metadata *metadata, const char *text)
{
	const char *digits = text + (text[0] == '-');
	size_t len = strspn(digits, "0123456789");

	if (len <= INTEGER_DIGITS && digits[len] == '\0')
		return int64_to_numeric(strtoll(text, NULL, 10));
	return read_long_number(metadata, text);
}

void
MetadataAdd(Metadata *metadata, MetadataToken token, const char *text)
{
	JsonbValue value;
	JsonbIteratorToken place;

	if (metadata->error != NULL)
		return;
	if (metadata->state == NULL)
		(void) pushJsonbValue(&metadata->state, WJB_BEGIN_OBJECT, NULL);
	place = metadata->state->contVal.type == jbvObject ? WJB_VALUE : WJB_ELEM;

	switch (token)
	{
		case METADATA_BEGIN_OBJECT:
			(void) pushJsonbValue(&metadata->state, WJB_BEGIN_OBJECT, NULL);
			return;
		case METADATA_END_OBJECT:
			(void) pushJsonbValue(&metadata->state, WJB_END_OBJECT, NULL);
			return;
		case METADATA_BEGIN_ARRAY:
			(void) pushJsonbValue(&metadata->state, WJB_BEGIN_ARRAY, NULL);
			return;
		case METADATA_END_ARRAY:
			(void) pushJsonbValue(&metadata->state, WJB_END_ARRAY, NULL);
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
			value.val.numeric = read_number(metadata, text);
			if (value.val.numeric == NULL)
				return;
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
	(void) pushJsonbValue(&metadata->state, place, &value);
}

struct varlena *
MetadataFinish(Metadata *metadata)
{
	MemoryContext caller = CurrentMemoryContext;
	struct varlena *volatile result = NULL;

	if (metadata->error != NULL)
		return NULL;
	PG_TRY();
	{
		if (metadata->state == NULL)
			(void) pushJsonbValue(&metadata->state, WJB_BEGIN_OBJECT, NULL);
		result = (struct varlena *) JsonbValueToJsonb(
			pushJsonbValue(&metadata->state, WJB_END_OBJECT, NULL));
	}
	PG_CATCH();
	{
		keep_error(metadata, caller);
	}
	PG_END_TRY();
	return result;
}
