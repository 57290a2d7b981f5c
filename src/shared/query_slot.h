/*
 * query_slot.h
 *
 * Queries on their way from a listener to a query worker, and their answers on the way back:
 * two slots in shared memory for each query worker. One is for questions. The other one is for
 * exports, whose answers take as long as their clients read; meanwhile the worker answers
 * questions between two pieces.
 *
 * The protocol
 * ------------
 * A slot has a state, which says who may use the rest of the slot. Each change of state is
 * one compare-and-swap, which is also the memory barrier. If it fails, the other side has
 * changed the state first, and the loser reads the state again.
 *
 *	FREE		nobody's
 *	CLAIMED		a listener's, which writes the query
 *	ASKED		the worker's, which has not begun
 *	RUNNING		the worker's, which computes the answer
 *	PIECE		the listener's: the buffer holds a piece of the answer, and the worker waits
 *				to send the next one
 *	TAKEN		the worker's: the listener has copied the piece
 *	LAST		the listener's: the last piece, or the only one
 *	FAILED		the listener's: the worker ended, or could not go on, before the answer was
 *				complete
 *	ABANDONED	the worker's: nobody waits for the answer any more
 *
 *	listener:	FREE -> CLAIMED -> ASKED
 *				PIECE -> TAKEN, LAST -> FREE, FAILED -> FREE
 *				to give up: ASKED -> FREE; RUNNING, PIECE, TAKEN -> ABANDONED
 *	worker:		ASKED -> RUNNING -> PIECE or LAST, TAKEN -> PIECE or LAST
 *				ABANDONED -> FREE
 *				to end or to fail: ASKED, RUNNING, PIECE, TAKEN -> FAILED
 *
 * Either side may end at any moment: an exit callback leaves its slots. If a process ends
 * without its callbacks, the postmaster makes all shared memory anew.
 *
 * Who hands a slot over sets the latch of the other side. Any listener may claim a free
 * slot. Listeners whose requests wait for one are woken when a worker frees its slot or
 * becomes ready, and when a listener frees one.
 *
 * The buffer holds the query (parameters as name NUL value NUL ...) from CLAIMED until the
 * worker has copied it in RUNNING, and then pieces of the answer.
 */
#ifndef FAST_INGEST_QUERY_SLOT_H
#define FAST_INGEST_QUERY_SLOT_H

#include "shared/shared_part.h"
#include "shared/worker_slot.h"

#define QUERY_BUFFER_SIZE (64 * 1024)

/* Room for a cursor: twice the longest key of a rollup, and a number. */
#define QUERY_CURSOR_SIZE 600

/* The message of both sides about a query that took too long. */
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
	QUERY_SERIES,
	QUERY_OVERVIEW,
	QUERY_EVENT_NAMES,
	QUERY_LIVE,
	QUERY_STATS,
	QUERY_STATUS,
	QUERY_RETRY,
	QUERY_EXPORT,
	NUM_QUERY_KINDS
} QueryKind;

typedef struct
{
	WorkerSlot worker;		/* used in the slot for questions only: see QuerySlotWorker() */
	pg_atomic_uint32 state; /* QuerySlotState */

	/* the query */
	Latch *asker; /* the listener's, of its PGPROC: see worker_slot.h */
	QueryKind kind;
	int64 deadline; /* see clock.h */

	/* the answer, set before its first piece */
	unsigned int status;				 /* of HTTP */
	bool csv;							 /* CSV rather than JSON */
	uint64 answer_len;					 /* of all pieces together; not set for an export */
	char next_cursor[QUERY_CURSOR_SIZE]; /* "" if there is no next page */

	uint32 len; /* of what is in the buffer */
	char buffer[QUERY_BUFFER_SIZE];
} QuerySlot;

/*
 * fast_ingest.query_workers of each kind, by the number of the worker; NULL where fast_ingest was
 * not preloaded.
 */
extern QuerySlot *QuerySlots;
extern QuerySlot *ExportSlots;

extern const SharedPart QuerySlotsPart;

/* The worker of a slot of either kind. */
extern WorkerSlot *QuerySlotWorker(QuerySlot *slot);

/* Read the state. What the other side wrote before it can be read afterwards. */
static inline QuerySlotState
QuerySlotReadState(QuerySlot *slot)
{
	QuerySlotState state = pg_atomic_read_u32(&slot->state);

	pg_read_barrier();
	return state;
}

/*
 * The listener's side.
 */

/*
 * Hand a query of at most QUERY_BUFFER_SIZE bytes to the worker; false if the slot is not
 * free. The caller's latch will be set.
 */
extern bool QuerySlotAsk(QuerySlot *slot, QueryKind kind, int64 deadline, const char *parameters,
						 size_t len);

/*
 * Hand back a piece that was copied; this frees the slot after the last one. False if the
 * worker has failed meanwhile.
 */
extern bool QuerySlotTake(QuerySlot *slot);

/* Leave the slot, whatever its state. */
extern void QuerySlotAbandon(QuerySlot *slot);

/*
 * The worker's side.
 */

/* Begin with the query of the slot; false if there is none. */
extern bool QuerySlotBegin(QuerySlot *slot);

/* Hand over what is in the buffer. False, and the slot is free, if nobody waits for it. */
extern bool QuerySlotPut(QuerySlot *slot, bool last);

/* Free an abandoned slot; false if it is not abandoned. */
extern bool QuerySlotClear(QuerySlot *slot);

/* Leave the slot when the worker ends or cannot complete the answer, whatever the state. */
extern void QuerySlotLeave(QuerySlot *slot);

#endif
