/*
 * evidence.h
 *
 * Whose fault is it that an event is not stored: its own, or the table's?
 *
 * The table may refuse every event: an administrator has added a column without a default,
 * a constraint, a trigger that raises an error. Then no event is to blame, and all of them
 * wait until the table is mended. Or it refuses this one alone, under whatever code, and
 * those behind it must not wait. Other events are the evidence: some that are staged behind
 * it, and some that were stored before, or one that the table has. They are inserted and rolled
 * back, one by one, until the table takes one.
 */
#ifndef FAST_INGEST_EVIDENCE_H
#define FAST_INGEST_EVIDENCE_H

#include "utils/elog.h"

#include "shared/shared_state.h"

typedef enum
{
	EVIDENCE_NONE,		  /* no other event is known, or it is not stored for another reason */
	EVIDENCE_OTHERS_FAIL, /* for the same reason, also what was stored before */
	EVIDENCE_OTHERS_PASS
} Evidence;

/* Prepare this process; called once. */
extern void EvidenceInit(void);

/*
 * Would the table take another event than the one it refused for that reason? Looks at those
 * of its day only, or of any. behind: where in its ring those come that wait behind it.
 */
extern Evidence EvidenceFor(const ErrorData *reason, const RingRecord *record, RingConsumer behind,
							bool same_day);

/* The same, of events that were stored in the lane of today only. */
extern Evidence EvidenceOfToday(const ErrorData *reason);

/*
 * Is the error about a column that events are not made of? Without other evidence this is
 * the table's fault.
 */
extern bool EvidenceOfColumn(const ErrorData *reason);

/*
 * Is it about a unique index or an exclusion constraint of the table? Then the event conflicts
 * with what is stored, and nothing is wrong with the table.
 */
extern bool EvidenceOfConflict(const ErrorData *reason);

/*
 * Keep an event (or NULL) that is about to be committed, and once it is, take it as one that the
 * table takes. Before the commit, as the record may be overwritten after it.
 */
extern void EvidenceKeep(Lane lane, const RingRecord *record);
extern void EvidenceKept(Lane lane);

/* Forget the statement's plan: the table may have changed. */
extern void EvidenceForgetPlan(void);

#endif
