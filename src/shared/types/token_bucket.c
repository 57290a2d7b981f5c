/*
 * token_bucket.c
 *
 * Taking tokens and giving them back; see token_bucket.h.
 */
#include "postgres.h"

#include "shared/types/token_bucket.h"

#include "common/hashfn.h"
#include "storage/spin.h"

#define BUCKETS_PER_SET 8
/* On average. Few sets have more ids than this, and very few more ids than buckets. */
#define IDS_PER_SET 4

#define MICRO INT64CONST(1000000)

typedef struct
{
	RateId id;
	int64 debt;	 /* millionths of a token */
	int64 since; /* the time of the debt */
	int32 rate;	 /* 0: no id has the bucket */
} Bucket;

typedef struct
{
	slock_t lock;
	Bucket buckets[BUCKETS_PER_SET];
} BucketSet;

struct RateTable
{
	uint64 seed;
	uint32 nsets;
	BucketSet others; /* its first bucket is for ids without one of their own */
	BucketSet sets[FLEXIBLE_ARRAY_MEMBER];
};

static uint32
compute_number_of_sets(int ids)
{
	return Max(ids / IDS_PER_SET, 1);
}

Size
RateTableSize(int ids)
{
	return offsetof(RateTable, sets) + compute_number_of_sets(ids) * sizeof(BucketSet);
}

void
RateTableInit(RateTable *table, int ids, uint64 seed)
{
	memset(table, 0, RateTableSize(ids));
	table->seed = seed;
	table->nsets = compute_number_of_sets(ids);
	SpinLockInit(&table->others.lock);
	for (uint32 i = 0; i < table->nsets; i++)
		SpinLockInit(&table->sets[i].lock);
}

RateId
RateIdOfText(const RateTable *table, const char *text, size_t len)
{
	uint64 halves[2];
	RateId id;

	halves[0] = hash_bytes_extended((const unsigned char *) text, (int) len, table->seed);
	halves[1] = hash_bytes_extended((const unsigned char *) text, (int) len, ~table->seed);
	memcpy(id.bytes, halves, sizeof(id.bytes));
	return id;
}

static BucketSet *
find_set(RateTable *table, const RateId *id)
{
	uint64 hash = hash_bytes_extended(id->bytes, sizeof(id->bytes), table->seed);

	return &table->sets[hash % table->nsets];
}

/*
 * Pay a bucket's debt with what it has gained. A clock that is behind changes nothing.
 */
static void
pay_debt(Bucket *bucket, int64 now)
{
	int64 elapsed = now - bucket->since;

	if (bucket->rate == 0 || elapsed <= 0)
		return;
	if (elapsed > bucket->debt / bucket->rate)
		bucket->debt = 0;
	else
		bucket->debt -= elapsed * bucket->rate;
	bucket->since = now;
}

static Bucket *
find_bucket(BucketSet *set, const RateId *id)
{
	for (int i = 0; i < BUCKETS_PER_SET; i++)
		if (set->buckets[i].rate != 0 && memcmp(&set->buckets[i].id, id, sizeof(RateId)) == 0)
			return &set->buckets[i];
	return NULL;
}

/*
 * Find a bucket of a set that no id needs; NULL if all are in debt
 */
static Bucket *
find_free_bucket(BucketSet *set, int64 now)
{
	for (int i = 0; i < BUCKETS_PER_SET; i++)
	{
		pay_debt(&set->buckets[i], now);
		if (set->buckets[i].rate == 0 || set->buckets[i].debt == 0)
			return &set->buckets[i];
	}
	return NULL;
}

/*
 * Divide and round up; 0 for a negative dividend
 */
static int64
divide_rounding_up(int64 dividend, int64 divisor)
{
	return dividend <= 0 ? 0 : (dividend - 1) / divisor + 1;
}

/*
 * Take from a bucket, or only look; its lock is held
 */
static bool
take_from(Bucket *bucket, const RateLimit *limit, int64 n, bool peek, int64 now, RateAnswer *answer)
{
	int64 burst = limit->burst * MICRO;
	int64 gain = limit->rate * MICRO; /* per second */
	bool enough;

	pay_debt(bucket, now);
	bucket->rate = limit->rate;
	bucket->since = Max(bucket->since, now);
	enough = n * MICRO <= burst - bucket->debt;
	answer->retry_after =
		n > limit->burst ? -1 : divide_rounding_up(bucket->debt + n * MICRO - burst, gain);
	if (enough && !peek)
		bucket->debt += n * MICRO;
	answer->limit = limit->burst;
	answer->remaining = Max(burst - bucket->debt, 0) / MICRO;
	answer->reset = divide_rounding_up(bucket->debt, gain);
	return enough;
}

static bool
take_or_peek(RateTable *table, const RateId *id, const RateLimit *limit, int64 n, bool peek,
			 int64 now, RateAnswer *answer)
{
	BucketSet *set = find_set(table, id);
	Bucket *bucket;
	bool enough = false;

	SpinLockAcquire(&set->lock);
	bucket = find_bucket(set, id);
	if (bucket == NULL && (bucket = find_free_bucket(set, now)) != NULL)
		*bucket = (Bucket){.id = *id, .since = now};
	if (bucket != NULL)
		enough = take_from(bucket, limit, n, peek, now, answer);
	SpinLockRelease(&set->lock);

	answer->shared = bucket == NULL;
	if (bucket == NULL)
	{
		SpinLockAcquire(&table->others.lock);
		enough = take_from(&table->others.buckets[0], limit, n, peek, now, answer);
		SpinLockRelease(&table->others.lock);
	}
	return enough;
}

bool
RateTake(RateTable *table, const RateId *id, const RateLimit *limit, int64 n, int64 now,
		 RateAnswer *answer)
{
	return take_or_peek(table, id, limit, n, false, now, answer);
}

bool
RatePeek(RateTable *table, const RateId *id, const RateLimit *limit, int64 n, int64 now,
		 RateAnswer *answer)
{
	return take_or_peek(table, id, limit, n, true, now, answer);
}

void
RateReturn(RateTable *table, const RateId *id, int64 n, bool shared)
{
	BucketSet *set = shared ? &table->others : find_set(table, id);
	Bucket *bucket;

	SpinLockAcquire(&set->lock);
	bucket = shared ? &set->buckets[0] : find_bucket(set, id);
	if (bucket != NULL)
		bucket->debt -= Min(bucket->debt, n * MICRO);
	SpinLockRelease(&set->lock);
}
