/*
 * user_set_type.c
 *
 * The SQL type fi_user_set: its text and binary forms, its operators, fi_cardinality and
 * the aggregate fi_union.
 */
#include "postgres.h"

#include "rollup/sets/user_set.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "libpq/pqformat.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "base/compat.h"
#include "rollup/sets/roaring_check.h"

PG_FUNCTION_INFO_V1(fi_user_set_in);
PG_FUNCTION_INFO_V1(fi_user_set_out);
PG_FUNCTION_INFO_V1(fi_user_set_recv);
PG_FUNCTION_INFO_V1(fi_user_set_send);
PG_FUNCTION_INFO_V1(fi_user_set_or);
PG_FUNCTION_INFO_V1(fi_user_set_and);
PG_FUNCTION_INFO_V1(fi_user_set_and_not);
PG_FUNCTION_INFO_V1(fi_user_set_eq);
PG_FUNCTION_INFO_V1(fi_user_set_contains);
PG_FUNCTION_INFO_V1(fi_cardinality);
PG_FUNCTION_INFO_V1(fi_union_add);
PG_FUNCTION_INFO_V1(fi_union_result);

/* A number has up to ten digits and a comma, and the text must fit into one value. */
#define MAX_TEXT_USERS ((MaxAllocSize - sizeof("{}")) / 11)

#define PG_GETARG_USER_SET(n) UserSetRead(PG_GETARG_VARLENA_P(n))

static const char *
skip_space(const char *text)
{
	while (*text == ' ' || (*text >= '\t' && *text <= '\r'))
		text++;
	return text;
}

/*
 * Read one number and the spaces around it; returns what follows. ERROR 22P02 if there
 * is no number, 22003 if it is too large.
 */
static const char *
read_number(const char *text, const char *whole, uint32 *number)
{
	uint64 value = 0;
	const char *digit = skip_space(text);

	if (*digit < '0' || *digit > '9')
		ereport(ERROR, (errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
						errmsg("invalid input syntax for type fi_user_set: \"%s\"", whole),
						errdetail("A number is expected at byte %d.", (int) (digit - whole) + 1)));
	for (; *digit >= '0' && *digit <= '9'; digit++)
	{
		value = value * 10 + (*digit - '0');
		if (value > PG_UINT32_MAX)
			ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
							errmsg("value out of range for type fi_user_set: \"%s\"", whole),
							errdetail("Numbers go from 0 to %u.", PG_UINT32_MAX)));
	}
	*number = (uint32) value;
	return skip_space(digit);
}

/*
 * Read {1,5,7}: numbers in any order, repetitions and spaces around numbers allowed.
 * ERROR 22P02 for any other text, 22003 for a number that is too large.
 */
Datum
fi_user_set_in(PG_FUNCTION_ARGS)
{
	const char *whole = PG_GETARG_CSTRING(0);
	const char *text = skip_space(whole);
	UserSet *set = UserSetCreate();
	bool closed = false;

	if (*text != '{')
		ereport(ERROR, (errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
						errmsg("invalid input syntax for type fi_user_set: \"%s\"", whole),
						errdetail("A set begins with \"{\".")));
	if (*skip_space(text + 1) == '}')
	{
		text = skip_space(text + 1) + 1;
		closed = true;
	}
	while (!closed)
	{
		uint32 number;

		CHECK_FOR_INTERRUPTS();
		text = read_number(text + 1, whole, &number);
		UserSetAdd(set, number);
		if (*text != ',' && *text != '}')
			ereport(ERROR, (errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
							errmsg("invalid input syntax for type fi_user_set: \"%s\"", whole),
							errdetail("A comma or \"}\" is expected at byte %d.",
									  (int) (text - whole) + 1)));
		if (*text == '}')
		{
			closed = true;
			text++;
		}
	}
	if (*skip_space(text) != '\0')
		ereport(ERROR, (errcode(ERRCODE_INVALID_TEXT_REPRESENTATION),
						errmsg("invalid input syntax for type fi_user_set: \"%s\"", whole),
						errdetail("There is more after \"}\".")));
	PG_RETURN_DATUM(UserSetDatum(set));
}

/*
 * Write {1,5,7}. ERROR 54000 for more users than a text can list: a value of 0.9 MB
 * is the set of all 4294967296.
 */
Datum
fi_user_set_out(PG_FUNCTION_ARGS)
{
	UserSet *set = PG_GETARG_USER_SET(0);
	uint64 n = UserSetCardinality(set);
	uint32 *numbers;
	StringInfoData text;

	if (n > MAX_TEXT_USERS)
		ereport(
			ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("a user set of " UINT64_FORMAT " users is too large to be written as text", n),
			 errdetail("The limit is %u users.", (uint32) MAX_TEXT_USERS),
			 errhint("fi_cardinality() counts them, and the binary format holds them.")));
	numbers = UserSetNumbers(set, &n);
	initStringInfo(&text);
	appendStringInfoChar(&text, '{');
	for (uint64 i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		appendStringInfo(&text, i == 0 ? "%u" : ",%u", numbers[i]);
	}
	appendStringInfoChar(&text, '}');
	PG_RETURN_CSTRING(text.data);
}

/*
 * Read the portable serialization, from any client. ERROR 22P03 if it is not
 * well-formed. One set has several serializations, so it is serialized again.
 */
Datum
fi_user_set_recv(PG_FUNCTION_ARGS)
{
	StringInfo message = (StringInfo) PG_GETARG_POINTER(0);
	int len = message->len - message->cursor;
	const char *bytes = pq_getmsgbytes(message, len);
	uint64 cardinality;
	const char *wrong = RoaringCheck(bytes, len, &cardinality);
	struct varlena *value;

	if (wrong != NULL)
		ereport(ERROR, (errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
						errmsg("invalid binary representation of type fi_user_set"),
						errdetail_internal("%s", wrong)));
	value = palloc(VARHDRSZ + len);
	SET_VARSIZE(value, VARHDRSZ + len);
	memcpy(VARDATA(value), bytes, len);
	PG_RETURN_DATUM(UserSetDatum(UserSetRead(value)));
}

Datum
fi_user_set_send(PG_FUNCTION_ARGS)
{
	/* a value of the type is stored in the portable serialization */
	PG_RETURN_POINTER(PG_GETARG_VARLENA_P(0));
}

Datum
fi_user_set_or(PG_FUNCTION_ARGS)
{
	UserSet *set = PG_GETARG_USER_SET(0);

	UserSetUnionDatum(set, PG_GETARG_DATUM(1));
	PG_RETURN_DATUM(UserSetDatum(set));
}

Datum
fi_user_set_and(PG_FUNCTION_ARGS)
{
	UserSet *set = PG_GETARG_USER_SET(0);

	UserSetIntersect(set, PG_GETARG_USER_SET(1));
	PG_RETURN_DATUM(UserSetDatum(set));
}

Datum
fi_user_set_and_not(PG_FUNCTION_ARGS)
{
	UserSet *set = PG_GETARG_USER_SET(0);

	UserSetSubtract(set, PG_GETARG_USER_SET(1));
	PG_RETURN_DATUM(UserSetDatum(set));
}

Datum
fi_user_set_eq(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(UserSetEquals(PG_GETARG_USER_SET(0), PG_GETARG_USER_SET(1)));
}

Datum
fi_user_set_contains(PG_FUNCTION_ARGS)
{
	int64 number = PG_GETARG_INT64(1);

	PG_RETURN_BOOL(number >= 0 && number <= PG_UINT32_MAX &&
				   UserSetContains(PG_GETARG_USER_SET(0), (uint32) number));
}

Datum
fi_cardinality(PG_FUNCTION_ARGS)
{
	PG_RETURN_INT64((int64) UserSetCardinality(PG_GETARG_USER_SET(0)));
}

/*
 * Transition function of fi_union and fast_ingest.union_users. The state is a UserSet in
 * the memory context of the aggregate, or NULL as long as there was no set.
 */
Datum
fi_union_add(PG_FUNCTION_ARGS)
{
	UserSet *set = PG_ARGISNULL(0) ? NULL : (UserSet *) PG_GETARG_POINTER(0);
	MemoryContext context;

	if (!AggCheckCallContext(fcinfo, &context))
		ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						errmsg("fast_ingest.union_add called in non-aggregate context")));
	if (!PG_ARGISNULL(1))
	{
		if (set == NULL)
		{
			MemoryContext caller = MemoryContextSwitchTo(context);

			set = UserSetCreate();
			MemoryContextSwitchTo(caller);
		}
		UserSetUnionDatum(set, PG_GETARG_DATUM(1));
	}
	if (set == NULL)
		PG_RETURN_NULL();
	PG_RETURN_POINTER(set);
}

Datum
fi_union_result(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(UserSetDatum((UserSet *) PG_GETARG_POINTER(0)));
}
