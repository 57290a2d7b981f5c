/*
 * token_bucket.h
 *
 * Token buckets that several processes share: a table of fixed size, in which an id of 16
 * bytes finds its bucket.
 *
 * A bucket holds up to burst tokens and gains rate tokens a second. The table stores its
 * debt, which is what it lacks to be full, in millionths of a token. A microsecond gains a
 * whole number of these, so nothing is ever rounded. A bucket without debt is the same as no
 * bucket, so another id may have its place: clients that have gone never fill the table. A
 * bucket in debt stays.
 *
 * The table consists of sets of a few buckets. A hash with a secret seed assigns an id to one
 * set. An id whose set is full of buckets in debt shares one bucket of the table with all
 * other ids that have this problem. So nobody avoids the limit, and nobody can make other ids
 * lose their buckets.
 *
 * Locking: each set has a spinlock, held for a few loads and stores. It makes the takes from
 * one bucket follow each other.
 *
 * Nothing here needs a server except the spinlocks.
 */
#ifndef FAST_INGEST_TOKEN_BUCKET_H
#define FAST_INGEST_TOKEN_BUCKET_H

typedef struct
{
	uint8 bytes[16];
} RateId;

typedef struct
{
	int32 rate;	 /* tokens per second, at least 1 */
	int64 burst; /* tokens, at least 1 */
} RateLimit;

typedef struct
{
	int64 limit;	   /* the burst */
	int64 remaining;   /* whole tokens that are left */
	int64 reset;	   /* seconds until the bucket is full, rounded up */
	int64 retry_after; /* seconds until there are enough tokens, rounded up; -1: never */
	bool shared;	   /* the id uses the bucket that ids without one of their own share */
} RateAnswer;

typedef struct RateTable RateTable;

/* Bytes of a table in which about that many ids can be in debt at a time. */
extern Size RateTableSize(int ids);

/* Initialize a table of that size. */
extern void RateTableInit(RateTable *table, int ids, uint64 seed);

/* Make the id of a text. Two texts practically never have the same id. */
extern RateId RateIdOfText(const RateTable *table, const char *text, size_t len);

/*
 * Take n tokens, all or none; false if there are too few. now is the time (see clock.h). The
 * clocks of processes may differ a little.
 */
extern bool RateTake(RateTable *table, const RateId *id, const RateLimit *limit, int64 n, int64 now,
					 RateAnswer *answer);

/* Say what RateTake() would do, and take nothing. */
extern bool RatePeek(RateTable *table, const RateId *id, const RateLimit *limit, int64 n, int64 now,
					 RateAnswer *answer);

/* Give back n tokens that were just taken; shared is that of the answer. */
extern void RateReturn(RateTable *table, const RateId *id, int64 n, bool shared);

#endif
