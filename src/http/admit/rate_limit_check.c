/*
 * rate_limit_check.c
 *
 * Which buckets a request pays from, and what it is told about them.
 */
#include "postgres.h"

#include "http/admit/rate_limit_check.h"

#include <microhttpd.h>

#include "base/grow_array.h"
#include "base/settings.h"
#include "http/server/server.h"

static const char *const bucket_names[NUM_RATE_TABLES] = {"client address", "API key", "channel"};

/*
 * How many tokens a bucket can hold unless a key says otherwise
 */
static int64
compute_default_burst(int rate)
{
	return Max((int64) rate * fi_rate_limit_burst / 1000, 1);
}

/*
 * The id of the client's bucket
 */
static RateId
make_client_id(const Request *request)
{
	IpAddress address = request->client;
	RateId id;

	IpAddressToNetwork(&address);
	memcpy(id.bytes, address.bytes, sizeof(id.bytes));
	return id;
}

/*
 * Set what a request pays as its client; false if that is nothing
 */
static bool
set_client_charge(const Request *request, int64 n, RateCharge *charge)
{
	if (fi_rate_limit_per_client == 0)
		return false;
	*charge = (RateCharge){
		.kind = RATE_CLIENTS,
		.id = request->limit.client,
		.limit = {fi_rate_limit_per_client, compute_default_burst(fi_rate_limit_per_client)},
		.n = n,
	};
	return true;
}

/*
 * Set what a request pays for its key; false if that is nothing. Requests without a key are not
 * limited per key.
 */
static bool
set_key_charge(const Request *request, int64 n, RateCharge *charge)
{
	const ApiKey *key = request->access.key;
	int rate = key == NULL ? 0 : key->rate_limit >= 0 ? key->rate_limit : fi_rate_limit_per_key;

	if (rate == 0)
		return false;
	*charge = (RateCharge){
		.kind = RATE_KEYS,
		.limit = {rate, key->burst > 0 ? key->burst : compute_default_burst(rate)},
		.n = n,
	};
	memcpy(charge->id.bytes, &key->id, sizeof(key->id));
	return true;
}

/*
 * Remember what a bucket says for the RateLimit headers: the bucket that has too few tokens,
 * else the one that is closest to empty
 */
static void
remember_answer(RequestLimit *limit, const RateCharge *charge, const RateAnswer *answer,
				bool enough)
{
	if (enough && limit->whose != NULL && answer->remaining >= limit->answer.remaining)
		return;
	limit->whose = bucket_names[charge->kind];
	limit->limit = charge->limit;
	limit->answer = *answer;
	limit->wanted = charge->n;
}

/*
 * Does a bucket have enough tokens? Takes none.
 */
static bool
check_bucket(Request *request, const RateCharge *charge)
{
	RateAnswer answer;
	bool enough = RatePeek(RateTables[charge->kind], &charge->id, &charge->limit, charge->n,
						   ServerNow, &answer);

	if (!enough)
		remember_answer(&request->limit, charge, &answer, false);
	return enough;
}

bool
RateLimitCheckClient(Request *request)
{
	RateCharge charge;

	if (fi_rate_limit_per_client > 0)
		request->limit.client = make_client_id(request);
	return !set_client_charge(request, 1, &charge) || check_bucket(request, &charge);
}

bool
RateLimitCheckKey(Request *request)
{
	RateCharge charge;

	return !set_key_charge(request, 1, &charge) || check_bucket(request, &charge);
}

void
RateLimitChargeClient(Request *request)
{
	RateCharge charge;
	RateAnswer answer;

	if (set_client_charge(request, 1, &charge))
		(void) RateTake(RateTables[RATE_CLIENTS], &charge.id, &charge.limit, 1, ServerNow, &answer);
}

void
RateLimitCountEvent(RateCharges *charges, MemoryContext context, const Event *event)
{
	RateCharge *last = charges->nchannels > 0 ? &charges->channels[charges->nchannels - 1] : NULL;
	RateId id;

	if (fi_rate_limit_per_channel == 0)
		return;
	id = RateIdOfText(RateTables[RATE_CHANNELS], event->channel.data, event->channel.len);
	if (last != NULL && memcmp(&last->id, &id, sizeof(id)) == 0)
	{
		last->n++;
		return;
	}
	charges->channels = GrowArray(context, charges->channels, charges->nchannels, &charges->room,
								  sizeof(RateCharge));
	charges->channels[charges->nchannels++] = (RateCharge){
		.kind = RATE_CHANNELS,
		.id = id,
		.limit = {fi_rate_limit_per_channel, compute_default_burst(fi_rate_limit_per_channel)},
		.n = 1,
	};
}

static int
compare_charges(const void *a, const void *b)
{
	return memcmp(&((const RateCharge *) a)->id, &((const RateCharge *) b)->id, sizeof(RateId));
}

/*
 * Unite the charges of each channel to one
 */
static void
unite_channels(RateCharges *charges)
{
	RateCharge *channels = charges->channels;
	uint32 n = 0;

	if (charges->nchannels == 0)
		return;
	qsort(channels, charges->nchannels, sizeof(RateCharge), compare_charges);
	for (uint32 i = 1; i < charges->nchannels; i++)
	{
		if (compare_charges(&channels[n], &channels[i]) == 0)
			channels[n].n += channels[i].n;
		else
			channels[++n] = channels[i];
	}
	charges->nchannels = n + 1;
}

static int
count_charges(const RateCharges *charges)
{
	return charges->nown + (int) charges->nchannels;
}

static RateCharge *
get_charge(RateCharges *charges, int i)
{
	return i < charges->nown ? &charges->own[i] : &charges->channels[i - charges->nown];
}

/*
 * Give back the tokens of the first n charges
 */
static void
return_charges(RateCharges *charges, int n)
{
	for (int i = 0; i < n; i++)
	{
		RateCharge *charge = get_charge(charges, i);

		RateReturn(RateTables[charge->kind], &charge->id, charge->n, charge->shared);
	}
}

bool
RateLimitTake(Request *request, RateCharges *charges, int64 n)
{
	charges->nown = 0;
	if (set_client_charge(request, n, &charges->own[charges->nown]))
		charges->nown++;
	if (set_key_charge(request, n, &charges->own[charges->nown]))
		charges->nown++;
	unite_channels(charges);
	for (int i = 0; i < count_charges(charges); i++)
	{
		RateCharge *charge = get_charge(charges, i);
		RateAnswer answer;
		bool enough = RateTake(RateTables[charge->kind], &charge->id, &charge->limit, charge->n,
							   ServerNow, &answer);

		charge->shared = answer.shared;
		remember_answer(&request->limit, charge, &answer, enough);
		if (!enough)
		{
			return_charges(charges, i);
			return false;
		}
	}
	return true;
}

void
RateLimitReturn(Request *request, RateCharges *charges)
{
	request->limit.whose = NULL;
	return_charges(charges, count_charges(charges));
}

static void
add_number(struct MHD_Response *response, const char *name, int64 value)
{
	char text[32];

	snprintf(text, sizeof(text), "%lld", (long long) value);
	MHD_add_response_header(response, name, text);
}

void
RateLimitAddHeaders(const Request *request, struct MHD_Response *response)
{
	const RequestLimit *limit = &request->limit;

	if (limit->whose == NULL)
		return;
	add_number(response, "RateLimit-Limit", limit->answer.limit);
	add_number(response, "RateLimit-Remaining", limit->answer.remaining);
	add_number(response, "RateLimit-Reset", limit->answer.reset);
	if (request->reply.status == MHD_HTTP_TOO_MANY_REQUESTS)
		add_number(response, "Retry-After", Max(limit->answer.retry_after, 1));
}
