/*
 * key_admin.c
 *
 * fi_create_api_key(): the only code that has both a new key and its digest.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "auth/api_key.h"
#include "base/compat.h"
#include "db/spi.h"

PG_FUNCTION_INFO_V1(fi_create_api_key);

/* Arguments of fi_create_api_key, and parameters of its statement. */
enum
{
	ARG_NAME,
	ARG_SCOPES,
	ARG_SITE_IDS,
	ARG_CHANNELS,
	ARG_ORIGINS,
	ARG_RATE_LIMIT,
	ARG_BURST,
	ARG_TENANT,
	NUM_ARGS,
	PARAM_ID = NUM_ARGS,
	PARAM_SECRET_HASH,
	NUM_PARAMS
};

static const char *const argument_names[NUM_ARGS] = {
	"name", "scopes", "site_ids", "channels", "origins", "rate_limit", "burst", "tenant"};

/*
 * Raise an ERROR if a list is empty or has a NULL, or if it is that of the scopes and has
 * anything else
 */
static void
check_list(ArrayType *list, const char *name, bool is_scopes)
{
	Datum *elements;
	bool *nulls;
	int n;

	deconstruct_array(list, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	if (n == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("%s is empty", name),
						is_scopes ? errhint("A scope is one of write, read, admin.")
								  : errhint("NULL is for a key that is not restricted.")));
	for (int i = 0; i < n; i++)
	{
		char *element = nulls[i] ? NULL : TextDatumGetCString(elements[i]);

		if (element == NULL)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("%s has a NULL in it", name)));
		if (is_scopes && ApiScopeOf(element, strlen(element)) == API_SCOPE_NONE)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("scope \"%s\" is not known", element),
							errhint("A scope is one of write, read, admin.")));
	}
}

static void
check_arguments(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(ARG_NAME) || VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(ARG_NAME)) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("an API key needs a name")));
	if (PG_ARGISNULL(ARG_SCOPES))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("scopes is NULL"),
						errhint("A scope is one of write, read, admin.")));
	for (int i = ARG_SCOPES; i <= ARG_ORIGINS; i++)
		if (!PG_ARGISNULL(i))
			check_list(PG_GETARG_ARRAYTYPE_P(i), argument_names[i], i == ARG_SCOPES);
	if (!PG_ARGISNULL(ARG_TENANT) && VARSIZE_ANY_EXHDR(PG_GETARG_TEXT_PP(ARG_TENANT)) == 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("tenant is empty"),
						errhint("NULL is for a tenant of the key's name.")));
	for (int i = ARG_RATE_LIMIT; i <= ARG_BURST; i++)
	{
		int least = i == ARG_BURST ? 1 : 0;

		if (!PG_ARGISNULL(i) && PG_GETARG_INT32(i) < least)
			ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
							errmsg("%s %d is not allowed: expected at least %d", argument_names[i],
								   PG_GETARG_INT32(i), least)));
	}
}

/*
 * Store the digest of a key under its id; an ERROR if there is a key of that name
 */
static void
store_key(FunctionCallInfo fcinfo, const char *key, const Sha256Digest *digest)
{
	Oid types[NUM_PARAMS] = {TEXTOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
							 INT4OID, INT4OID,		TEXTOID,	  TEXTOID,		BYTEAOID};
	Datum values[NUM_PARAMS];
	char nulls[NUM_PARAMS + 1];
	bytea *hash = palloc(VARHDRSZ + sizeof(*digest));

	for (int i = 0; i < NUM_ARGS; i++)
	{
		values[i] = PG_GETARG_DATUM(i);
		nulls[i] = PG_ARGISNULL(i) ? 'n' : ' ';
	}
	SET_VARSIZE(hash, VARHDRSZ + sizeof(*digest));
	memcpy(VARDATA(hash), digest->bytes, sizeof(*digest));
	values[PARAM_ID] =
		PointerGetDatum(cstring_to_text_with_len(key + strlen(API_KEY_PREFIX), API_KEY_ID_DIGITS));
	values[PARAM_SECRET_HASH] = PointerGetDatum(hash);
	nulls[PARAM_ID] = nulls[PARAM_SECRET_HASH] = ' ';
	nulls[NUM_PARAMS] = '\0';

	if (SpiRunWithNulls(
			"INSERT INTO fast_ingest.api_keys"
			" (name, scopes, site_ids, channels, origins, rate_limit, burst, tenant, id, secret_hash)"
			" VALUES ($1, $2, $3, $4, $5, $6, $7, coalesce($8, $1), $9, $10)"
			" ON CONFLICT (name) DO NOTHING",
			SPI_OK_INSERT, NUM_PARAMS, types, values, nulls) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("API key \"%s\" exists already", TextDatumGetCString(values[ARG_NAME])),
				 errhint("Take another name, or revoke that key.")));
}

Datum
fi_create_api_key(PG_FUNCTION_ARGS)
{
	char key[API_KEY_LENGTH + 1];
	Sha256Digest digest;

	check_arguments(fcinfo);
	if (!ApiKeyMake(key) || !Sha256Once((Slice){key, API_KEY_LENGTH}, &digest))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not make an API key")));
	SPI_connect();
	store_key(fcinfo, key, &digest);
	SPI_finish();
	PG_RETURN_TEXT_P(cstring_to_text(key));
}
