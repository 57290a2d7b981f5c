/*
 * rate_limit_check.c
 *
 * Whose tokens a request takes, and what it is told.
 */
#include "postgres.h"

#include "http/admit/rate_limit_check.h"

#include <microhttpd.h>

#include "nodes/pg_list.h"
#include "utils/memutils.h"
#include "utils/varlena.h"

#include "shared/rate_limits.h"
#include "http/server/request.h"
#include "http/server/server.h"
#include "base/grow_array.h"
#include "base/settings.h"

/* Headers X-Forwarded-For of a request that are looked at: the last ones. */
#define MAX_FORWARDED 16

/* Tokens to be taken from a bucket, or taken. */
typedef struct
{
	RateTableKind kind;
	RateId id;
	RateLimit limit;
	int64 n;
	bool shared; /* see RateAnswer */
} Charge;

static const char *const whose[NUM_RATE_TABLES] = {"client address", "API key", "channel"};

static AddressRange *trusted = NULL;
static int ntrusted = 0;

/* of the request at hand */
static Charge charges_of_request[2]; /* client and key */
static int ncharges_of_request = 0;
static MemoryContext events_context = NULL;
static Charge *channels = NULL;
static uint32 nchannels = 0;
static uint32 room_for_channels = 0;

void
LimitReadSettings(void)
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
		trusted = MemoryContextAlloc(TopMemoryContext, list_length(items) * sizeof(AddressRange));
		foreach (cell, items)
			if (AddressRangeParse(lfirst(cell), &trusted[ntrusted]))
				ntrusted++;
	}
	list_free(items);
	pfree(copy);
}

/* The tokens that a rate of events per second saves up while nobody takes them. */
static int64
default_burst(int rate)
{
	return Max((int64) rate * fi_rate_limit_burst / 1000, 1);
}

typedef struct
{
	int n;
	const char *values[MAX_FORWARDED];
} Forwarded;

/*
 * Callback: keep the last headers X-Forwarded-For
 */
static enum MHD_Result
add_forwarded(void *cls, enum MHD_ValueKind kind, const char *name, const char *value)
{
	Forwarded *forwarded = cls;

	if (value == NULL || pg_strcasecmp(name, "X-Forwarded-For") != 0)
		return MHD_YES;
	if (forwarded->n == MAX_FORWARDED)
		memmove(forwarded->values, forwarded->values + 1,
				--forwarded->n * sizeof(forwarded->values[0]));
	forwarded->values[forwarded->n++] = value;
	return MHD_YES;
}

ClientAddress
LimitClientAddress(Request *request)
{
	struct MHD_Connection *mhd = request->connection->mhd;
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	ClientAddress address = {{0}};

	if (info != NULL && info->client_addr != NULL)
		(void) ClientAddressOfSocket(info->client_addr, &address);
	if (AddressRangesHold(trusted, ntrusted, &address))
	{
		Forwarded forwarded = {0};

		(void) MHD_get_connection_values(mhd, MHD_HEADER_KIND, add_forwarded, &forwarded);
		ClientAddressForwarded(&address, forwarded.values, forwarded.n, trusted, ntrusted);
	}
	return address;
}

/*
 * The id of the client's bucket
 */
static RateId
client_of(Request *request)
{
	ClientAddress address = request->client;
	RateId id;

	ClientAddressToNetwork(&address);
	memcpy(id.bytes, address.bytes, sizeof(id.bytes));
	return id;
}

/*
 * What a request is to pay as its client; false if that is nothing
 */
static bool
client_charge(Request *request, int64 n, Charge *charge)
{
	if (fi_rate_limit_per_client == 0)
		return false;
	*charge = (Charge){
		.kind = RATE_CLIENTS,
		.id = request->limit.client,
		.limit = {fi_rate_limit_per_client, default_burst(fi_rate_limit_per_client)},
		.n = n,
	};
	return true;
}

/*
 * What it is to pay for its key
 */
static bool
key_charge(const ApiKey *key, int64 n, Charge *charge)
{
	int rate = key == NULL ? 0 : key->rate_limit >= 0 ? key->rate_limit : fi_rate_limit_per_key;

	if (rate == 0)
		return false;
	*charge = (Charge){
		.kind = RATE_KEYS,
		.limit = {rate, key->burst > 0 ? key->burst : default_burst(rate)},
		.n = n,
	};
	memcpy(charge->id.bytes, &key->id, sizeof(key->id));
	return true;
}

/*
 * Keep what a bucket said: what the one said that is nearest to its end
 */
static void
note(RequestLimit *limit, const Charge *charge, const RateAnswer *answer, bool enough)
{
	if (enough && limit->whose != NULL && answer->remaining >= limit->answer.remaining)
		return;
	limit->whose = whose[charge->kind];
	limit->limit = charge->limit;
	limit->answer = *answer;
	limit->wanted = charge->n;
}

static bool
check(Request *request, const Charge *charge)
{
	RateAnswer answer;
	bool enough = RatePeek(RateTables[charge->kind], &charge->id, &charge->limit, charge->n,
						   ServerNow, &answer);

	if (!enough)
		note(&request->limit, charge, &answer, false);
	return enough;
}

bool
LimitCheckClient(Request *request)
{
	Charge charge;

	if (fi_rate_limit_per_client > 0)
		request->limit.client = client_of(request);
	return !client_charge(request, 1, &charge) || check(request, &charge);
}

bool
LimitCheckKey(Request *request, const ApiKey *key)
{
	Charge charge;

	return !key_charge(key, 1, &charge) || check(request, &charge);
}

void
LimitChargeClient(Request *request)
{
	Charge charge;
	RateAnswer answer;

	if (client_charge(request, 1, &charge))
		(void) RateTake(RateTables[RATE_CLIENTS], &charge.id, &charge.limit, 1, ServerNow, &answer);
}

void
LimitBeginEvents(MemoryContext context)
{
	events_context = context;
	channels = NULL;
	nchannels = room_for_channels = 0;
}

void
LimitCountEvent(const Event *event)
{
	RateId id;

	if (fi_rate_limit_per_channel == 0)
		return;
	id = RateIdOfText(RateTables[RATE_CHANNELS], event->channel.data, event->channel.len);
	if (nchannels > 0 && memcmp(&channels[nchannels - 1].id, &id, sizeof(id)) == 0)
	{
		channels[nchannels - 1].n++;
		return;
	}
	channels = GrowArray(events_context, channels, nchannels, &room_for_channels, sizeof(Charge));
	channels[nchannels++] = (Charge){
		.kind = RATE_CHANNELS,
		.id = id,
		.limit = {fi_rate_limit_per_channel, default_burst(fi_rate_limit_per_channel)},
		.n = 1,
	};
}

static int
compare_charges(const void *a, const void *b)
{
	return memcmp(&((const Charge *) a)->id, &((const Charge *) b)->id, sizeof(RateId));
}

/*
 * Put the counts of each channel together
 */
static void
sum_channels(void)
{
	uint32 n = 0;

	if (nchannels == 0)
		return;
	qsort(channels, nchannels, sizeof(Charge), compare_charges);
	for (uint32 i = 1; i < nchannels; i++)
	{
		if (compare_charges(&channels[n], &channels[i]) == 0)
			channels[n].n += channels[i].n;
		else
			channels[++n] = channels[i];
	}
	nchannels = n + 1;
}

static Charge *
charge_at(int i)
{
	return i < ncharges_of_request ? &charges_of_request[i] : &channels[i - ncharges_of_request];
}

static void
give_back(int n)
{
	for (int i = 0; i < n; i++)
	{
		Charge *charge = charge_at(i);

		RateReturn(RateTables[charge->kind], &charge->id, charge->n, charge->shared);
	}
}

bool
LimitTake(Request *request, const ApiKey *key, int64 n)
{
	ncharges_of_request = 0;
	if (client_charge(request, n, &charges_of_request[ncharges_of_request]))
		ncharges_of_request++;
	if (key_charge(key, n, &charges_of_request[ncharges_of_request]))
		ncharges_of_request++;
	sum_channels();
	for (int i = 0; i < ncharges_of_request + (int) nchannels; i++)
	{
		Charge *charge = charge_at(i);
		RateAnswer answer;
		bool enough = RateTake(RateTables[charge->kind], &charge->id, &charge->limit, charge->n,
							   ServerNow, &answer);

		charge->shared = answer.shared;
		note(&request->limit, charge, &answer, enough);
		if (!enough)
		{
			give_back(i);
			return false;
		}
	}
	return true;
}

void
LimitReturn(Request *request)
{
	request->limit.whose = NULL;
	give_back(ncharges_of_request + (int) nchannels);
}

Reply
LimitRefusal(Request *request)
{
	RequestLimit *limit = &request->limit;

	if (limit->answer.retry_after < 0)
		return ReplyError(MHD_HTTP_CONTENT_TOO_LARGE,
						  "%lld events at a time are more than the rate limit of the %s ever "
						  "allows: at most %lld",
						  (long long) limit->wanted, limit->whose, (long long) limit->limit.burst);
	return ReplyError(MHD_HTTP_TOO_MANY_REQUESTS,
					  "the rate limit of the %s is reached: %d events per second are allowed, and "
					  "%lld at a time",
					  limit->whose, limit->limit.rate, (long long) limit->limit.burst);
}

static void
add_number(struct MHD_Response *response, const char *name, int64 value)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld", (long long) value);
	MHD_add_response_header(response, name, text);
}

void
LimitAddHeaders(Request *request, struct MHD_Response *response)
{
	RequestLimit *limit = &request->limit;

	if (limit->whose == NULL)
		return;
	add_number(response, "RateLimit-Limit", limit->answer.limit);
	add_number(response, "RateLimit-Remaining", limit->answer.remaining);
	add_number(response, "RateLimit-Reset", limit->answer.reset);
	if (request->reply.status == MHD_HTTP_TOO_MANY_REQUESTS)
		add_number(response, "Retry-After", Max(limit->answer.retry_after, 1));
}
