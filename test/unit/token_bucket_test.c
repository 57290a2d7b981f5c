/*
 * token_bucket_test.c
 *
 * The promises of token buckets: no token is lost or given twice, also if several processes
 * take at the same time; debts stay; the table does not grow.
 */
#include "postgres.h"

#include <pthread.h>
#include <sched.h>

#include "shared/types/token_bucket.h"
#include "storage/spin.h"
#include "tap.h"

#define SECOND INT64CONST(1000000)

/* Waits for a spinlock that another thread holds, in place of the server's function. */
int
s_lock(volatile slock_t *lock, const char *file, int line, const char *func)
{
	while (TAS(lock))
		sched_yield();
	return 0;
}

static RateTable *
make_table(int ids)
{
	RateTable *table = malloc(RateTableSize(ids));

	RateTableInit(table, ids, UINT64CONST(0x123456789ABCDEF));
	return table;
}

static RateId
id_of(uint64 number)
{
	RateId id = {{0}};

	memcpy(id.bytes, &number, sizeof(number));
	return id;
}

static void
test_bucket(void)
{
	RateTable *table = make_table(100);
	RateLimit limit = {.rate = 3, .burst = 10};
	RateId id = id_of(1);
	RateId other = id_of(2);
	RateAnswer answer;
	int64 now = 1000 * SECOND;
	int taken = 0;

	ok(RateTake(table, &id, &limit, 4, now, &answer), "a new bucket is full");
	ok(answer.limit == 10 && answer.remaining == 6 && answer.reset == 2 && answer.retry_after == 0,
	   "and says what is left");
	ok(RatePeek(table, &id, &limit, 6, now, &answer) && answer.remaining == 6,
	   "peek takes nothing");
	ok(!RateTake(table, &id, &limit, 7, now, &answer) && answer.remaining == 6,
	   "too many: none is taken");
	ok(answer.retry_after == 1, "one is there after a third of a second, rounded up");
	ok(!RateTake(table, &id, &limit, 11, now, &answer) && answer.retry_after == -1,
	   "more than the burst are never there");
	ok(RateTake(table, &other, &limit, 10, now, &answer), "another id has its own");
	ok(RateTake(table, &id, &limit, 6, now, &answer) && answer.remaining == 0, "the last ones");
	ok(!RateTake(table, &id, &limit, 1, now + SECOND / 3, &answer),
	   "after 0.333333 seconds not yet");
	ok(RateTake(table, &id, &limit, 1, now + SECOND / 3 + 1, &answer),
	   "a microsecond later it is there");
	RateReturn(table, &id, 1, false);
	ok(RateTake(table, &id, &limit, 1, now + SECOND / 3 + 1, &answer),
	   "what was given back is there");
	ok(!RateTake(table, &id, &limit, 1, now, &answer), "a clock that is behind gives nothing");

	/* how often a client takes does not change how much it gets */
	now += SECOND / 3 + 1;
	for (int64 t = now; t <= now + 1000 * SECOND; t += 62500)
		taken += RateTake(table, &id, &limit, 1, t, &answer);
	ok(taken == 3000, "3 a second for 1000 seconds are 3000 (%d)", taken);
	now += 1000 * SECOND;
	ok(RatePeek(table, &id, &limit, 10, now + 1000 * SECOND, &answer) && answer.remaining == 10 &&
		   answer.reset == 0,
	   "a bucket is full and no more");
	ok(RatePeek(table, &id, &limit, 10, PG_INT64_MAX, &answer), "at the end of time, too");

	limit = (RateLimit){.rate = 10000000, .burst = INT64CONST(2000000000)};
	ok(RateTake(table, &id, &limit, limit.burst, now + 2000 * SECOND, &answer) &&
		   answer.reset == 200,
	   "the largest limits fit");
	free(table);
}

static void
test_changed_limit(void)
{
	RateTable *table = make_table(100);
	RateLimit slow = {.rate = 1, .burst = 10};
	RateLimit fast = {.rate = 10, .burst = 100};
	RateId id = id_of(1);
	RateAnswer answer;

	RateTake(table, &id, &slow, 10, 0, &answer);
	ok(RatePeek(table, &id, &fast, 90, SECOND, &answer) && answer.remaining == 91,
	   "a larger limit keeps the debt");
	RateTake(table, &id, &fast, 91, SECOND, &answer);
	ok(!RateTake(table, &id, &slow, 1, SECOND, &answer) && answer.remaining == 0,
	   "a smaller one keeps it, too");
	ok(answer.retry_after == 91, "and says when it is paid");
	free(table);
}

static void
test_flood(void)
{
	enum
	{
		IDS = 1000,
		FLOOD = 100000
	};
	RateTable *table = make_table(IDS);
	RateLimit limit = {.rate = 1, .burst = 100};
	RateId debtor = id_of(0);
	RateAnswer answer;
	int own = 0;
	int let_in = 0;
	int refused = 0;

	RateTake(table, &debtor, &limit, 100, 0, &answer);
	for (uint64 i = 1; i <= IDS / 2; i++)
	{
		RateId id = id_of(i);

		RateTake(table, &id, &limit, 50, 0, &answer);
		own += !answer.shared;
	}
	ok(own > IDS / 2 * 0.98, "half of the ids that it is for have buckets of their own (%d)", own);
	for (uint64 i = IDS; i < FLOOD; i++)
	{
		RateId id = id_of(i);

		let_in += RateTake(table, &id, &limit, 100, 0, &answer);
	}
	ok(let_in > 0 && let_in <= 2 * IDS + 1, "a flood gets what the table has room for (%d)",
	   let_in);
	ok(!RateTake(table, &debtor, &limit, 1, 0, &answer) && !answer.shared,
	   "and does not wash a debt away");
	for (uint64 i = FLOOD; i < FLOOD + 100; i++)
	{
		RateId id = id_of(i);

		refused += !RateTake(table, &id, &limit, 1, 0, &answer) && answer.shared;
	}
	ok(refused == 100, "whoever comes then shares one bucket, which is empty (%d)", refused);
	ok(RateTake(table, &debtor, &limit, 1, SECOND, &answer), "a debt is paid as usual");
	own = 0;
	for (uint64 i = FLOOD; i < FLOOD + IDS / 2; i++)
	{
		RateId id = id_of(i);

		RateTake(table, &id, &limit, 1, 100 * SECOND, &answer);
		own += !answer.shared;
	}
	ok(own > IDS / 2 * 0.98, "full buckets give way (%d)", own);
	free(table);
}

/* Several threads at a time; two share each bucket. */
enum
{
	TAKERS = 4,
	TAKES = 1000000,
	TOKENS = 3000000 /* fewer than they ask for */
};

typedef struct
{
	RateTable *table;
	uint64 id;
	bool gives_back;
	int64 taken;
} Taker;

static void *
take_many(void *arg)
{
	Taker *taker = arg;
	RateLimit limit = {.rate = 1, .burst = TOKENS};
	RateId id = id_of(taker->id);
	RateAnswer answer;

	for (int i = 0; i < TAKES; i++)
	{
		int64 n = 1 + i % 3;

		if (!RateTake(taker->table, &id, &limit, n, 0, &answer))
			continue;
		if (taker->gives_back && i % 5 == 0)
			RateReturn(taker->table, &id, n, answer.shared);
		else
			taker->taken += n;
	}
	/* the rest, one at a time */
	while (RateTake(taker->table, &id, &limit, 1, 0, &answer))
		taker->taken++;
	return NULL;
}

static void
test_concurrent_takers(bool gives_back)
{
	/* one set, so that all need the same lock */
	RateTable *table = make_table(1);
	pthread_t threads[TAKERS];
	Taker takers[TAKERS];
	int64 taken[2] = {0, 0};

	for (int i = 0; i < TAKERS; i++)
	{
		takers[i] = (Taker){table, i % 2, gives_back, 0};
		if (pthread_create(&threads[i], NULL, take_many, &takers[i]) != 0)
			abort();
	}
	for (int i = 0; i < TAKERS; i++)
	{
		pthread_join(threads[i], NULL);
		taken[i % 2] += takers[i].taken;
	}
	for (int i = 0; i < 2; i++)
	{
		/* a thread may give back tokens after the other one has stopped asking */
		RateLimit limit = {.rate = 1, .burst = TOKENS};
		RateId id = id_of(i);
		RateAnswer answer;

		(void) RatePeek(table, &id, &limit, 1, 0, &answer);
		ok(taken[i] + answer.remaining == TOKENS && (gives_back || answer.remaining == 0),
		   "takers at the same time get each token once (" INT64_FORMAT ")%s", taken[i],
		   gives_back ? ", also when some give back" : "");
	}
	free(table);
}

int
main(void)
{
	test_bucket();
	test_changed_limit();
	test_flood();
	test_concurrent_takers(false);
	test_concurrent_takers(true);
	return tap_done();
}
