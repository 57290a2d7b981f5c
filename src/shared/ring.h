/*
 * ring.h
 *
 * The staging ring: a byte ring in shared memory between one listener (the
 * only producer) and one flusher (the only consumer).
 *
 * Positions are byte counts since the ring was made; they only grow, and
 * position % size is the place in the buffer. At all times
 *
 *     committed <= published <= committed + size
 *
 * Protocol
 * --------
 * reserve	The producer takes room for one record after another behind what it
 *			has published. Nobody else looks there; the reservation is known to
 *			the producer alone, and RingRollback forgets it. A producer that
 *			dies leaves nothing behind.
 * publish	The producer moves `published` behind all that it reserved, after a
 *			write barrier: the records of one request appear together, and the
 *			new position is the request's ticket.
 * consume	The consumer reads records from `committed` up to `published`
 *			(read barrier after loading it). Where it is between the two is
 *			known to the consumer alone: one that dies starts again at
 *			`committed`.
 * commit	Once the records up to a position are durable, the consumer moves
 *			`committed` there, after a full barrier: it has read, and written
 *			its outcomes, before. It wakes the producer after that.
 * release	Records before `committed` belong to the producer again, but it may
 *			still want to read their outcomes: it reuses room only up to the
 *			position it has released, which is never beyond `committed`.
 *
 * Records do not wrap: where one does not fit before the end of the buffer,
 * padding fills the rest.
 *
 * Needs no server: only atomics, which are inline.
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
	uint64 size; /* of buffer, a multiple of MAXIMUM_ALIGNOF; constant */
	char padding3[RING_CACHE_LINE - sizeof(uint64)];
	char buffer[FLEXIBLE_ARRAY_MEMBER];
} Ring;

/* What became of a record; written by the consumer before it commits it. */
typedef enum
{
	RECORD_STORED,
	RECORD_REFUSED, /* a dead letter: the payload is the message now */
	RECORD_PADDING
} RecordKind;

/*
 * A record is this header and its payload. Padding may be as short as
 * MAXIMUM_ALIGNOF bytes: then only the first two fields exist.
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

/* Bytes of shared memory for a ring with that much room; a header more, for RingOldestStaged. */
#define RingShmemSize(room) (offsetof(Ring, buffer) + MAXALIGN(room) + RECORD_HEADER_SIZE)

/* Make a ring in zeroed memory; start is where positions begin (0 but in tests). */
extern void RingInit(Ring *ring, uint64 room, uint64 start);

/* Become the producer: what the last one published stays, what it reserved is gone. */
extern void RingAttachProducer(RingProducer *producer, Ring *ring);

/* Bytes that the producer may not use again yet. */
#define RingInUse(producer) ((producer)->reserved - (producer)->released)

/* Take room for a record of that payload; NULL while there is none. */
extern RingRecord *RingReserve(RingProducer *producer, uint32 payload_size);

/* Forget what was reserved since the last publish. */
extern void RingRollback(RingProducer *producer);

/* Show everything reserved to the consumer; returns the ticket. */
extern uint64 RingPublish(RingProducer *producer);

/* Allow room before a position to be used again; at most up to committed. */
extern void RingRelease(RingProducer *producer, uint64 position);

/* The largest payload that can ever be reserved at once, together with its like. */
#define RingLargestRequest(ring) ((ring)->size / 2)

/* Become the consumer, beginning with the first record not committed. */
extern void RingAttachConsumer(RingConsumer *consumer, Ring *ring);

/* The next published record, or NULL. */
extern RingRecord *RingNext(RingConsumer *consumer);

/*
 * The record at a position that the caller may read, moved behind padding;
 * *position is advanced beyond the record.
 */
extern RingRecord *RingRecordAt(Ring *ring, uint64 *position);

/* Say that everything before a position is durable: so many records more. */
extern void RingCommit(Ring *ring, uint64 position, uint64 records);

/* Number of records published and not committed. */
extern uint64 RingStagedRecords(Ring *ring);

/* When the oldest record that is not committed was staged; 0 without one. */
extern int64 RingOldestStaged(Ring *ring);

static inline uint64
RingPublished(Ring *ring)
{
	uint64 position = pg_atomic_read_u64(&ring->published);

	pg_read_barrier();
	return position;
}

static inline uint64
RingCommitted(Ring *ring)
{
	uint64 position = pg_atomic_read_u64(&ring->committed);

	pg_memory_barrier();
	return position;
}

#endif
