/*
 * query_slot.h
 *
 * Questions of listeners to query workers, and the answers' way back: one slot
 * in shared memory for each query worker.
 *
 * The protocol
 * ------------
 * A slot has a state, and the state says whose the rest of the slot is. Each
 * change of state is one compare-and-swap, which is also the memory barrier:
 * whoever loses it looks again and finds out what the other side did.
 *
 *	FREE		nobody's
 *	CLAIMED		by a listener, which writes the question
 *	ASKED		the worker's, which has not begun
 *	RUNNING		the worker's, which works at the answer
 *	PIECE		the listener's: the buffer holds a piece of the answer, and
 *				the worker waits to send the next one
 *	TAKEN		the worker's: the piece has been copied
 *	LAST		the listener's: the last piece, or the only one
 *	FAILED		the listener's: the worker ended before its answer did
 *	ABANDONED	the worker's: nobody waits for the answer any more
 *
 *	listener:	FREE -> CLAIMED -> ASKED
 *				PIECE -> TAKEN, LAST -> FREE, FAILED -> FREE
 *				to give up: ASKED -> FREE; RUNNING, PIECE, TAKEN -> ABANDONED
 *	worker:		ASKED -> RUNNING -> PIECE or LAST, TAKEN -> PIECE or LAST
 *				ABANDONED -> FREE
 *				to end: ASKED, RUNNING, PIECE, TAKEN -> FAILED
 *
 * Either side may end at any moment: it leaves its slots by an exit callback.
 * A process that ends without its callbacks takes all shared memory with it:
 * the postmaster makes it anew.
 *
 * After a change of state that hands the slot over, its latch wakes the other
 * side. Any listener may claim a free slot. Those whose requests wait for one are woken
 * when a worker frees one or becomes ready, and by a listener that frees one.
 *
 * The buffer holds the question (parameters as name NUL value NUL ...) from
 * CLAIMED until the worker has copied it in RUNNING, and then pieces of the answer.
 */
#ifndef FAST_INGEST_QUERY_SLOT_H
#define FAST_INGEST_QUERY_SLOT_H

#include "shared/shared_part.h"
#include "shared/worker_slot.h"

#define QUERY_BUFFER_SIZE (64 * 1024)

/* Twice the longest key of a rollup, and a number. */
#define QUERY_CURSOR_SIZE 600

/* What both sides say of a question that took too long. */
#define QUERY_TIMEOUT_MESSAGE "the query was not answered within fast_ingest.query_timeout"

typedef enum
{
	SLOT_FREE,
	SLOT_CLAIMED,
	SLOT_ASKED,
	SLOT_RUNNING,
	SLOT_PIECE,
	SLOT_TAKEN,
	SLOT_LAST,
	SLOT_FAILED,
	SLOT_ABANDONED
} QuerySlotState;

typedef enum
{
	QUERY_METRICS,
	QUERY_STATS
} QueryKind;

typedef struct
{
	WorkerSlot worker;
	pg_atomic_uint32 state; /* QuerySlotState */

	/* the question */
	Latch *asker; /* of a PGPROC: see shared_state.h */
	QueryKind kind;
	int64 deadline; /* see clock.h */

	/* the answer, from its first piece on */
	unsigned int status;				 /* of HTTP */
	bool csv;							 /* not JSON */
	uint64 answer_len;					 /* of all pieces together */
	char next_cursor[QUERY_CURSOR_SIZE]; /* "" if there is no next page */

	uint32 len; /* of what is in the buffer */
	char buffer[QUERY_BUFFER_SIZE];
} QuerySlot;

/* fast_ingest.query_workers of them; NULL where fast_ingest was not preloaded. */
extern QuerySlot *QuerySlots;

extern const SharedPart QuerySlotsPart;

static inline QuerySlotState
QuerySlotLook(QuerySlot *slot)
{
	QuerySlotState state = pg_atomic_read_u32(&slot->state);

	/* what the other side wrote before it is read after it */
	pg_read_barrier();
	return state;
}

/*
 * The listener's side. Ask: false if the slot is not free; the question has at
 * most QUERY_BUFFER_SIZE bytes, and the latch is the caller's. Take: hand back a
 * piece that was copied, and leave the slot after the last one; false if the
 * worker has failed meanwhile. Abandon: leave the slot, whatever its state.
 */
extern bool QuerySlotAsk(QuerySlot *slot, QueryKind kind, int64 deadline, const char *parameters,
						 size_t len);
extern bool QuerySlotTake(QuerySlot *slot);
extern void QuerySlotAbandon(QuerySlot *slot);

/*
 * The worker's side. Begin: false if there is no question. Put: hand over what
 * is in the buffer; false if nobody waits for it, and the slot is free then.
 * Clear: free an abandoned slot, true if it was one. Leave: at the worker's end.
 */
extern bool QuerySlotBegin(QuerySlot *slot);
extern bool QuerySlotPut(QuerySlot *slot, bool last);
extern bool QuerySlotClear(QuerySlot *slot);
extern void QuerySlotLeave(QuerySlot *slot);

#endif
