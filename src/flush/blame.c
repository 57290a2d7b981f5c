/*
 * blame.c
 *
 * See blame.h.
 */
#include "postgres.h"

#include "flush/blame.h"

#include "base/clock.h"
#include "base/settings.h"
#include "flush/insert_one_by_one.h"

#define BLAME_TIME 1000 /* ms for which a reason is remembered */

void
BlameAdd(BlameList *list, const ErrorData *error)
{
	Blame *blame = &list->items[list->next];

	list->next = (list->next + 1) % BLAMES;
	(void) ErrorDescribe(error, blame->reason);
	blame->until = MonotonicAfter(MonotonicNow(), BLAME_TIME);
}

const char *
BlameFind(const BlameList *list, const ErrorData *error)
{
	for (int i = 0; i < BLAMES; i++)
		if (MonotonicNow() < list->items[i].until && ErrorHasReason(error, list->items[i].reason))
			return list->items[i].reason;
	return NULL;
}

bool
FailureMayPass(const BlameList *list, const FailedTry *failure)
{
	return failure->result == BATCH_NOT_NOW && failure->tries < PASSING_TRIES &&
		   BlameFind(list, failure->error) == NULL;
}

/*
 * First only events of the same day are tried where the partition may be at fault: if the
 * transaction was cancelled, perhaps in a wait for a lock on it, and in the lane of today,
 * all of whose events go into one partition.
 */
TrialResult
FailureOfOthers(const FailedTry *failure)
{
	bool same_day = failure->result == BATCH_GAVE_WAY || failure->lane == LANE_TODAY;
	TrialResult result = BatchTryOthers(failure->error, same_day);

	/* a day that has just begun may have no other event */
	if (result == TRIAL_INCONCLUSIVE && same_day && failure->result != BATCH_GAVE_WAY)
		result = BatchTryOthers(failure->error, false);
	return result;
}

/*
 * Was the batch cancelled often enough? Events of other days may wait as long as their
 * clients do.
 */
static bool
was_cancelled_for_good(const FailedTry *failure)
{
	return failure->tries + 1 >= CANCELLED_TRIES &&
		   (failure->lane == LANE_TODAY ||
			MonotonicNow() >= MonotonicAfter(BatchStagedAt(), fi_request_timeout));
}

bool
EventIsToBlame(const BlameList *list, const FailedTry *failure)
{
	TrialResult others;

	switch (failure->result)
	{
		case BATCH_REFUSED:
			if (ErrorIsConflict(failure->error))
				return true;
			break;
		case BATCH_GAVE_WAY:
			if (!was_cancelled_for_good(failure))
				return false;
			break;
		case BATCH_NOT_NOW:
			if (FailureMayPass(list, failure))
				return false;
			break;
		default:
			/* no event has a part in a partition that cannot be made */
			return false;
	}

	others = FailureOfOthers(failure);
	if (failure->result == BATCH_REFUSED && others == TRIAL_INCONCLUSIVE)
		return !ErrorIsAboutOtherColumn(failure->error);
	return others == TRIAL_OTHERS_ACCEPTED;
}
