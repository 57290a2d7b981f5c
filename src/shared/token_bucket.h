/*
 * token_bucket.h
 *
 * Token buckets that several processes share: a table of them, of a fixed size, that
 * is found by an id of 16 bytes.
 *
 * A bucket holds up to burst tokens and gains rate tokens a second. What is kept is
 * its debt, which is what it lacks of being full, in millionths of a token: so a
 * microsecond's gain is a whole number, and nothing is ever rounded. A bucket without
 * debt is as good as none. So it gives way to another one, and a table is never full
 * of clients that have gone. One that is in debt stays.
 *
 * The table consists of sets of a few buckets. An id belongs to one set, by a hash
 * whose seed nobody outside knows. An id that finds its set full of debtors shares one
 * bucket of the table with all others of whom this is true: nobody gets in for free,
 * and nobody makes others lose theirs.
 *
 * Locking: a set has a spinlock, held for a few loads and stores. Takes from the same
 * bucket are one after the other.
 *
 * Nothing here needs a server but the spinlocks.
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
	int64 reset;	   /* seconds until it is full, rounded up */
	int64 retry_after; /* seconds until there are enough, rounded up; -1: there never are */
	bool shared;	   /* it is the bucket of those who have none of their own */
} RateAnswer;

typedef struct RateTable RateTable;

/* The size of a table for about so many ids in debt at a time, and how it begins. */
extern Size RateTableSize(int ids);
extern void RateTableInit(RateTable *table, int ids, uint64 seed);

/* An id for a text; the same one for another text is as good as impossible. */
extern RateId RateIdOfText(const RateTable *table, const char *text, size_t len);

/*
 * Take n tokens, all of them or none; false if there are too few. now: see clock.h;
 * processes may be a little apart. Peek says what would be, and takes nothing.
 */
extern bool RateTake(RateTable *table, const RateId *id, const RateLimit *limit, int64 n, int64 now,
					 RateAnswer *answer);
extern bool RatePeek(RateTable *table, const RateId *id, const RateLimit *limit, int64 n, int64 now,
					 RateAnswer *answer);

/* Give back n tokens that were taken right before, where shared was as it says. */
extern void RateReturn(RateTable *table, const RateId *id, int64 n, bool shared);

#endif
