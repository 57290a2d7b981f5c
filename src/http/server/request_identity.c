/*
 * request_identity.c
 *
 * Makes ids, and finds the client behind trusted proxies.
 */
#include "postgres.h"

#include "http/server/request_identity.h"

#include <microhttpd.h>

#include "nodes/pg_list.h"
#include "utils/memutils.h"
#include "utils/varlena.h"

#include "base/settings.h"

/*
 * What an id may consist of besides letters and digits: characters that log readers take for
 * a part of a value. There is no @ among them, to keep e-mail addresses out of logs.
 */
#define ID_PUNCTUATION "-_.:/+"

/* How many headers X-Forwarded-For of a request are read: the last ones. */
#define MAX_FORWARDED 16

/* The values of a request's headers X-Forwarded-For. */
typedef struct
{
	int n;
	const char *values[MAX_FORWARDED];
} ForwardedValues;

static IpRange *trusted = NULL;
static int ntrusted = 0;

/* new ids begin with a random number, so each start of each process has its own ids */
static uint64 id_prefix;
static uint64 ids_made = 0;

void
RequestIdentityInit(void)
{
	if (!pg_strong_random(&id_prefix, sizeof(id_prefix)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not get random numbers for ids")));
	RequestIdentityReadSettings();
}

void
RequestIdentityReadSettings(void)
{
	char *copy = pstrdup(fi_trusted_proxies);
	List *items = NIL;
	ListCell *cell;

	if (trusted != NULL)
		pfree(trusted);
	trusted = NULL;
	ntrusted = 0;
	if (SplitGUCList(copy, ',', &items) && items != NIL)
	{
		trusted = MemoryContextAlloc(TopMemoryContext, list_length(items) * sizeof(IpRange));
		foreach (cell, items)
			if (IpRangeParse(lfirst(cell), &trusted[ntrusted]))
				ntrusted++;
	}
	list_free(items);
	pfree(copy);
}

static bool
is_acceptable_id(const char *id)
{
	size_t len = strlen(id);

	if (len == 0 || len >= REQUEST_ID_SIZE)
		return false;
	for (const char *c = id; *c != '\0'; c++)
		if (!(*c >= 'a' && *c <= 'z') && !(*c >= 'A' && *c <= 'Z') && !(*c >= '0' && *c <= '9') &&
			strchr(ID_PUNCTUATION, *c) == NULL)
			return false;
	return true;
}

static void
make_id(Request *request)
{
	snprintf(request->id, sizeof(request->id), "%016llx-%llu", (unsigned long long) id_prefix,
			 (unsigned long long) ++ids_made);
}

/*
 * The constant text of a method; NULL if it is not a known one
 */
static const char *
find_method(const char *method)
{
	static const char *const methods[] = {"GET",	 "HEAD",	"POST",	 "PUT",	 "DELETE",
										  "CONNECT", "OPTIONS", "TRACE", "PATCH"};

	for (int i = 0; i < (int) lengthof(methods); i++)
		if (strcmp(method, methods[i]) == 0)
			return methods[i];
	return NULL;
}

/*
 * Callback: keep a header X-Forwarded-For, in place of the first one if there are too many
 */
static enum MHD_Result
add_forwarded(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
	ForwardedValues *forwarded = cls;

	if (value == NULL || pg_strcasecmp(name, "X-Forwarded-For") != 0)
		return MHD_YES;
	if (forwarded->n == MAX_FORWARDED)
		memmove(forwarded->values, forwarded->values + 1,
				--forwarded->n * sizeof(forwarded->values[0]));
	forwarded->values[forwarded->n++] = value;
	return MHD_YES;
}

/*
 * Set the client's address to that of the connection
 */
static void
read_peer_address(Request *request)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(request->mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);

	if (info != NULL && info->client_addr != NULL)
		(void) IpAddressOfSocket(info->client_addr, &request->client);
}

void
RequestIdentify(Request *request, const char *method)
{
	const char *id = RequestHeader(request, REQUEST_ID_HEADER);

	read_peer_address(request);
	if (IpRangesContain(trusted, ntrusted, &request->client))
	{
		ForwardedValues forwarded = {0};

		(void) MHD_get_connection_values(request->mhd, MHD_HEADER_KIND, add_forwarded, &forwarded);
		IpAddressReadForwarded(&request->client, forwarded.values, forwarded.n, trusted, ntrusted);
	}
	if (id != NULL && is_acceptable_id(id))
		strlcpy(request->id, id, sizeof(request->id));
	else
		make_id(request);
	request->method = find_method(method);
}

/*
 * The headers of an incomplete head are not looked at: the connection may not have them any
 * more when it ends
 */
const char *
RequestId(Request *request)
{
	if (request->id[0] == '\0')
	{
		make_id(request);
		read_peer_address(request);
	}
	return request->id;
}
