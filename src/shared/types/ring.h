/*
 * ring.h
 *
 * The staging ring: a byte ring in shared memory between one listener (the only producer)
 * and one flusher (the only consumer).
 *
 * Positions count bytes since the ring was made. They only grow, and position % size is the
 * place in the buffer. At all times
 *
 *     committed <= published <= committed + size
 *
 * Protocol
 * --------
 * reserve	The producer takes room for one record after another behind the published ones.
 *			Nobody else looks there. Only the producer knows the reservation, and
 *			RingRollback forgets it: a producer that dies leaves nothing behind.
 * publish	The producer moves `published` behind all that it has reserved, after a write
 *			barrier. The records of one request appear together. The new position is the
 *			request's ticket.
 * consume	The consumer reads records from `committed` up to `published`, with a read
 *			barrier after loading `published`. Only the consumer knows how far it has
 *			read: one that dies starts again at `committed`.
 * commit	When the records up to a position are durable, the consumer moves `committed`
 *			there, after a full barrier, because it has read the records and written
 *			their outcomes before. Then it wakes the producer.
 * release	Room before `committed` may be used again, but first the producer may want to
 *			read the outcomes there. So it reuses room only up to the position that it
 *			has released, which is never beyond `committed`.
 *
 * Records do not wrap: where one does not fit before the end of the buffer, padding fills
 * the rest.
 *
 * Needs no server, only atomics, which are inline.
 */
#ifndef FAST_INGEST_RING_H
#define FAST_INGEST_RING_H

#include "port/atomics.h"

#define RING_CACHE_LINE 128

typedef struct
{
	/* written by the producer */
	pg_atomic_uint64 published;
	pg_atomic_uint64 published_records;
	char padding1[RING_CACHE_LINE - 2 * sizeof(pg_atomic_uint64)];
	/* written by the consumer */
	pg_atomic_uint64 committed;
	pg_atomic_uint64 committed_records;
	char padding2[RING_CACHE_LINE - 2 * sizeof(pg_atomic_uint64)];
	uint64 size; /* of the buffer, a multiple of MAXIMUM_ALIGNOF; constant */
	char padding3[RING_CACHE_LINE - sizeof(uint64)];
	char buffer[FLEXIBLE_ARRAY_MEMBER];
} Ring;

/* The outcome of a record; written by the consumer before it commits the record. */
typedef enum
{
	RECORD_STORED,
	RECORD_REFUSED, /* a dead letter: the payload is the error message */
	RECORD_PADDING
} RecordKind;

/*
 * A record is this header and its payload. Padding may be as short as MAXIMUM_ALIGNOF
 * bytes, and then has only the first two fields.
 */
typedef struct
{
	uint32 size;	 /* of the whole record, a multiple of MAXIMUM_ALIGNOF */
	uint32 kind;	 /* RecordKind */
	int64 staged_at; /* see clock.h */
	int32 day;		 /* of the event */
	uint32 index;	 /* of the event in its request */
	uint32 payload_size;
} RingRecord;

#define RECORD_HEADER_SIZE MAXALIGN(sizeof(RingRecord))
#define RecordPayload(record) ((char *) (record) + RECORD_HEADER_SIZE)

/* The producer's own positions; process-local. */
typedef struct
{
	Ring *ring;
	uint64 reserved;
	uint64 released;
	uint64 reserved_records; /* since the last publish */
} RingProducer;

/* The consumer's own position; process-local. */
typedef struct
{
	Ring *ring;
	uint64 next;
} RingConsumer;

/*
 * Bytes of shared memory for a ring with that much room. RingOldestStaged may read a header
 * beyond the end of the buffer.
 */
#define RingShmemSize(room) (offsetof(Ring, buffer) + MAXALIGN(room) + RECORD_HEADER_SIZE)

/* Initialize a ring in zeroed memory; start is the first position (0 except in tests). */
extern void RingInit(Ring *ring, uint64 room, uint64 start);

/* Become the producer. Published records stay; what the last producer reserved is gone. */
extern void RingAttachProducer(RingProducer *producer, Ring *ring);

/* Bytes that the producer cannot use yet. */
#define RingInUse(producer) ((producer)->reserved - (producer)->released)

/*
 * Take room for a record with a payload of that size, and fill in its header except for
 * staged_at, day and index. NULL if there is no room; a record larger than
 * RingLargestRequest() may never find any.
 */
extern RingRecord *RingReserve(RingProducer *producer, uint32 payload_size);

/* Give back what was reserved since the last publish. */
extern void RingRollback(RingProducer *producer);

/* Show everything reserved to the consumer; returns the ticket. */
extern uint64 RingPublish(RingProducer *producer);

/* Allow the room before a position to be used again. The position must be committed. */
extern void RingRelease(RingProducer *producer, uint64 position);

/* Bytes of the largest request that always fits into an empty ring, wherever it begins. */
#define RingLargestRequest(ring) ((ring)->size / 2)

/* Become the consumer, beginning with the first record that is not committed. */
extern void RingAttachConsumer(RingConsumer *consumer, Ring *ring);

/* Read the next published record; NULL if there is none. */
extern RingRecord *RingNext(RingConsumer *consumer);

/*
 * Find the record at a position, or behind the padding there, and advance *position beyond
 * it. The position must be one that the caller may read.
 */
extern RingRecord *RingRecordAt(Ring *ring, uint64 *position);

/* Say that everything before a position is durable. records is the number of new ones. */
extern void RingCommit(Ring *ring, uint64 position, uint64 records);

/* The number of records that are published and not committed. Anybody may ask. */
extern uint64 RingStagedRecords(Ring *ring);

/* When the oldest published, uncommitted record was staged; 0 without one. Anybody may ask. */
extern int64 RingOldestStaged(Ring *ring);

/* The position up to which records are published; their contents can be read afterwards. */
static inline uint64
RingPublished(Ring *ring)
{
	uint64 position = pg_atomic_read_u64(&ring->published);

	pg_read_barrier();
	return position;
}

/* The position up to which records are durable; their outcomes can be read afterwards. */
static inline uint64
RingCommitted(Ring *ring)
{
	uint64 position = pg_atomic_read_u64(&ring->committed);

	pg_memory_barrier();
	return position;
}

#endif
