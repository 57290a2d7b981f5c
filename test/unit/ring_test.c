/*
 * ring_test.c
 *
 * The promises of the staging ring: records come out whole, in order and once; they are
 * seen only when they are published; room is reused only after its release; either side
 * can die and start again.
 */
#include "postgres.h"

#include <pthread.h>
#include <sched.h>

#include "shared/types/ring.h"
#include "tap.h"

static Ring *
make_ring(size_t room, uint64 start)
{
	Ring *ring = calloc(1, RingShmemSize(room));

	RingInit(ring, room, start);
	return ring;
}

/*
 * Reserve a record whose number is in each of its bytes; false without room
 */
static bool
put_record(RingProducer *producer, uint32 number, uint32 size)
{
	RingRecord *record = RingReserve(producer, size);

	if (record == NULL)
		return false;
	record->index = number;
	record->staged_at = number + 1;
	memset(RecordPayload(record), (int) (number & 0xFF), size);
	return true;
}

static bool
is_intact(const RingRecord *record, uint32 number, uint32 size)
{
	if (record == NULL || record->index != number || record->payload_size != size)
		return false;
	for (uint32 i = 0; i < size; i++)
		if ((unsigned char) RecordPayload(record)[i] != (number & 0xFF))
			return false;
	return true;
}

static void
test_publish_and_rollback(void)
{
	Ring *ring = make_ring(4096, 0);
	RingProducer producer;
	RingConsumer consumer;

	RingAttachProducer(&producer, ring);
	RingAttachConsumer(&consumer, ring);
	ok(RingNext(&consumer) == NULL, "an empty ring has no record");
	put_record(&producer, 1, 10);
	put_record(&producer, 2, 20);
	ok(RingNext(&consumer) == NULL, "reserved records are not seen");
	RingRollback(&producer);
	put_record(&producer, 3, 30);
	ok(RingPublish(&producer) == RingPublished(ring), "the ticket is the published position");
	ok(is_intact(RingNext(&consumer), 3, 30), "what was rolled back never comes");
	ok(RingNext(&consumer) == NULL, "and nothing more");
	ok(RingStagedRecords(ring) == 1, "a record is staged until it is committed");
	ok(RingOldestStaged(ring) == 4, "the oldest staged record tells its time");
	RingCommit(ring, consumer.next, 1);
	ok(RingStagedRecords(ring) == 0 && RingOldestStaged(ring) == 0, "then it is not");
	free(ring);
}

static void
test_full(void)
{
	Ring *ring = make_ring(1024, 0);
	RingProducer producer;
	RingConsumer consumer;
	uint32 n = 0;

	RingAttachProducer(&producer, ring);
	RingAttachConsumer(&consumer, ring);
	ok(RingReserve(&producer, 2000) == NULL, "a record larger than the ring is refused");
	while (put_record(&producer, n, 100))
		n++;
	ok(n > 5, "a ring takes records until it is full (%u)", n);
	RingPublish(&producer);
	while (RingNext(&consumer) != NULL)
		;
	RingCommit(ring, consumer.next, n);
	ok(!put_record(&producer, n, 100), "committed room is not reused before it is released");
	RingRelease(&producer, RingCommitted(ring));
	ok(put_record(&producer, n, 100), "released room is");
	free(ring);
}

/*
 * Compare a ring with a list, with requests of random sizes
 */
static void
test_model(uint64 start, size_t room)
{
	Ring *ring = make_ring(room, start);
	RingProducer producer;
	RingConsumer consumer;
	static uint32 sizes[1 << 20];
	uint32 published = 0;
	uint32 consumed = 0;
	uint32 committed = 0;
	uint32 refused = 0;
	bool good = true;

	srandom(42);
	RingAttachProducer(&producer, ring);
	RingAttachConsumer(&consumer, ring);
	while (published < 200000 && good)
	{
		switch (random() % 6)
		{
			case 0:
			case 1: /* a request of some records, all or nothing */
			{
				uint32 n = 1 + random() % 8;
				uint32 i;

				for (i = 0; i < n; i++)
				{
					sizes[published + i] = random() % 300;
					if (!put_record(&producer, published + i, sizes[published + i]))
						break;
				}
				if (i < n || random() % 10 == 0)
				{
					RingRollback(&producer);
					refused++;
					break;
				}
				RingPublish(&producer);
				published += n;
				break;
			}
			case 2:
			case 3: /* consume one */
				if (consumed == published)
					good &= RingNext(&consumer) == NULL;
				else
				{
					good &= is_intact(RingNext(&consumer), consumed, sizes[consumed]);
					consumed++;
				}
				break;
			case 4: /* commit, and sometimes release */
				RingCommit(ring, consumer.next, consumed - committed);
				committed = consumed;
				if (random() % 3 > 0)
					RingRelease(&producer, RingCommitted(ring));
				good &= RingStagedRecords(ring) == published - committed;
				break;
			case 5: /* one side dies */
				if (random() % 50 > 0)
					break;
				if (random() % 2 > 0)
				{
					put_record(&producer, 77, 20);
					RingAttachProducer(&producer, ring);
				}
				else
				{
					RingAttachConsumer(&consumer, ring);
					consumed = committed;
				}
				break;
		}
	}
	ok(good, "records survive wrap-around, a full ring and restarts (room %zu, start %llu)", room,
	   (unsigned long long) start);
	ok(refused > 100, "the ring was full or rolled back %u times meanwhile", refused);
	free(ring);
}

#define CONCURRENT_RECORDS 2000000

static void *
produce_records(void *arg)
{
	RingProducer producer;

	RingAttachProducer(&producer, arg);
	for (uint32 n = 0; n < CONCURRENT_RECORDS;)
	{
		RingRelease(&producer, RingCommitted(producer.ring));
		if (put_record(&producer, n, n % 97))
		{
			n++;
			if (n % 7 == 0 || n == CONCURRENT_RECORDS)
				RingPublish(&producer);
		}
		else
		{
			RingPublish(&producer);
			sched_yield();
		}
	}
	return NULL;
}

static void
test_concurrency(void)
{
	Ring *ring = make_ring(8192, 0);
	RingConsumer consumer;
	pthread_t producer;
	uint32 n = 0;
	uint32 uncommitted = 0;
	bool good = true;

	pthread_create(&producer, NULL, produce_records, ring);
	RingAttachConsumer(&consumer, ring);
	while (n < CONCURRENT_RECORDS && good)
	{
		RingRecord *record = RingNext(&consumer);

		if (record != NULL)
		{
			good = is_intact(record, n, n % 97);
			n++;
			uncommitted++;
		}
		else
			sched_yield();
		if (record == NULL || uncommitted >= 5)
		{
			RingCommit(ring, consumer.next, uncommitted);
			uncommitted = 0;
		}
	}
	if (good)
		pthread_join(producer, NULL);
	ok(good && n == CONCURRENT_RECORDS, "%u records pass between two threads, in order and whole",
	   n);
	if (good)
		free(ring);
}

int
main(void)
{
	test_publish_and_rollback();
	test_full();
	test_model(0, 4096);
	test_model(0, 2504);
	test_model((UINT64CONST(1) << 63) - 5000, 4096);
	test_concurrency();
	return tap_done();
}
