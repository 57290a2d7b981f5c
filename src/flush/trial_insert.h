/*
 * trial_insert.h
 *
 * Whose fault is it that an event is not stored: its own, or the table's?
 *
 * The table may refuse every event: an administrator has added a column without a default,
 * a constraint, a trigger that raises an error. Then no event is to blame, and all of them
 * wait until the table is mended. Or the table refuses only this event, with whatever
 * error code, and those behind it must not wait.
 *
 * Other events tell. They are inserted and rolled back, one by one, until the table
 * accepts one: some that are staged behind the event, and some that were stored before, or
 * one that is in the table.
 */
#ifndef FAST_INGEST_TRIAL_INSERT_H
#define FAST_INGEST_TRIAL_INSERT_H

#include "utils/elog.h"

#include "shared/shared_state.h"

typedef enum
{
	TRIAL_INCONCLUSIVE,	  /* no other event is known, or it is refused for another reason */
	TRIAL_OTHERS_REFUSED, /* for the same reason, also events that were stored before */
	TRIAL_OTHERS_ACCEPTED
} TrialResult;

/* Prepare this process; called once. */
extern void TrialInit(void);

/*
 * Would the table accept another event than the one that it refused for that reason? Tries
 * events of the same day only, or of any. behind: where in its ring the records begin that
 * are staged behind it.
 */
extern TrialResult TrialOfOthers(const ErrorData *reason, const RingRecord *record,
								 RingConsumer behind, bool same_day);

/* Would it accept an event of today? Tries events that were stored in the lane of today. */
extern TrialResult TrialOfToday(const ErrorData *reason);

/*
 * Is the error about a column that events are not made of? If trials are inconclusive, this
 * is the table's fault.
 */
extern bool ErrorIsAboutOtherColumn(const ErrorData *reason);

/*
 * Is the error about a unique index or an exclusion constraint of the table? Then the event
 * conflicts with what is stored, and nothing is wrong with the table.
 */
extern bool ErrorIsConflict(const ErrorData *reason);

/*
 * Keep a copy of an event (or of none, NULL) that is about to be committed, for later
 * trials. The copy counts once TrialKeepCommitted is called. It is made before the commit
 * because the listener may overwrite the record after it.
 */
extern void TrialKeep(Lane lane, const RingRecord *record);
extern void TrialKeepCommitted(Lane lane);

/* Forget the plan of the statement: the table may have changed. */
extern void TrialForgetPlan(void);

#endif
