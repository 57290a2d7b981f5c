/*
 * ring.c
 *
 * The protocol of the staging ring; see ring.h.
 */
#include "postgres.h"

#include "shared/types/ring.h"

void
RingInit(Ring *ring, uint64 room, uint64 start)
{
	ring->size = MAXALIGN(room);
	pg_atomic_init_u64(&ring->published, start);
	pg_atomic_init_u64(&ring->published_records, 0);
	pg_atomic_init_u64(&ring->committed, start);
	pg_atomic_init_u64(&ring->committed_records, 0);
}

void
RingAttachProducer(RingProducer *producer, Ring *ring)
{
	producer->ring = ring;
	producer->reserved = RingPublished(ring);
	producer->released = RingCommitted(ring);
	producer->reserved_records = 0;
}

RingRecord *
RingReserve(RingProducer *producer, uint32 payload_size)
{
	Ring *ring = producer->ring;
	uint64 size = MAXALIGN((uint64) RECORD_HEADER_SIZE + payload_size);
	uint64 to_end = ring->size - producer->reserved % ring->size;
	uint64 padding = size > to_end ? to_end : 0;
	RingRecord *record;

	if (producer->reserved - producer->released + padding + size > ring->size)
		return NULL;
	if (padding > 0)
	{
		record = (RingRecord *) (ring->buffer + producer->reserved % ring->size);
		record->size = (uint32) padding;
		record->kind = RECORD_PADDING;
		producer->reserved += padding;
	}
	record = (RingRecord *) (ring->buffer + producer->reserved % ring->size);
	record->size = (uint32) size;
	record->kind = RECORD_STORED;
	record->payload_size = payload_size;
	producer->reserved += size;
	producer->reserved_records++;
	return record;
}

void
RingRollback(RingProducer *producer)
{
	producer->reserved = pg_atomic_read_u64(&producer->ring->published);
	producer->reserved_records = 0;
}

uint64
RingPublish(RingProducer *producer)
{
	Ring *ring = producer->ring;

	pg_atomic_write_u64(&ring->published_records,
						pg_atomic_read_u64(&ring->published_records) + producer->reserved_records);
	producer->reserved_records = 0;
	pg_write_barrier();
	pg_atomic_write_u64(&ring->published, producer->reserved);
	return producer->reserved;
}

void
RingRelease(RingProducer *producer, uint64 position)
{
	Assert(position <= pg_atomic_read_u64(&producer->ring->committed));
	if (position > producer->released)
		producer->released = position;
}

void
RingAttachConsumer(RingConsumer *consumer, Ring *ring)
{
	consumer->ring = ring;
	consumer->next = RingCommitted(ring);
}

RingRecord *
RingRecordAt(Ring *ring, uint64 *position)
{
	RingRecord *record = (RingRecord *) (ring->buffer + *position % ring->size);

	if (record->kind == RECORD_PADDING)
	{
		*position += record->size;
		record = (RingRecord *) (ring->buffer + *position % ring->size);
	}
	*position += record->size;
	return record;
}

RingRecord *
RingNext(RingConsumer *consumer)
{
	if (consumer->next == RingPublished(consumer->ring))
		return NULL;
	return RingRecordAt(consumer->ring, &consumer->next);
}

void
RingCommit(Ring *ring, uint64 position, uint64 records)
{
	pg_atomic_write_u64(&ring->committed_records,
						pg_atomic_read_u64(&ring->committed_records) + records);
	pg_memory_barrier();
	pg_atomic_write_u64(&ring->committed, position);
}

uint64
RingStagedRecords(Ring *ring)
{
	uint64 committed = pg_atomic_read_u64(&ring->committed_records);

	pg_read_barrier();
	return pg_atomic_read_u64(&ring->published_records) - committed;
}

/*
 * The producer may reuse the room of a record as soon as it is committed. So what was read
 * counts only if the record was still uncommitted afterwards.
 */
int64
RingOldestStaged(Ring *ring)
{
	for (;;)
	{
		uint64 committed = RingCommitted(ring);
		uint64 position = committed;
		int64 staged_at;

		if (committed == RingPublished(ring))
			return 0;
		staged_at = RingRecordAt(ring, &position)->staged_at;
		pg_read_barrier();
		if (pg_atomic_read_u64(&ring->committed) == committed)
			return staged_at;
	}
}
