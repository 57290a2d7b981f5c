/*
 * refresh_counters.c
 *
 * Counts a refresh when its transaction ends, where nothing may fail.
 */
#include "postgres.h"

#include "rollup/refresh/refresh_counters.h"

#include "access/xact.h"
#include "utils/timestamp.h"

#include "shared/shared_state.h"

/* The refresh of this transaction. */
static bool is_active = false;
static SubTransactionId subtransaction; /* in which it runs or ran */
static int64 duration;					/* microseconds */

static void
count_failure(void)
{
	pg_atomic_fetch_add_u64(&Shared->refreshes_failed, 1);
	is_active = false;
}

static void
count_at_transaction_end(XactEvent event, void *arg)
{
	if (!is_active)
		return;
	if (event == XACT_EVENT_ABORT)
		count_failure();
	else if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE)
	{
		HistogramAdd(&Shared->refreshes, DurationBounds, duration);
		pg_atomic_write_u64(&Shared->last_refresh, GetCurrentTimestamp());
		is_active = false;
	}
}

/*
 * A subtransaction that is rolled back takes those within it along. They have higher numbers
 * than it.
 */
static void
count_at_subtransaction_end(SubXactEvent event, SubTransactionId id, SubTransactionId parent,
							void *arg)
{
	if (is_active && event == SUBXACT_EVENT_ABORT_SUB && subtransaction >= id)
		count_failure();
}

void
RefreshBegan(void)
{
	static bool registered = false;

	if (Shared == NULL)
		return;
	if (!registered)
	{
		RegisterXactCallback(count_at_transaction_end, NULL);
		RegisterSubXactCallback(count_at_subtransaction_end, NULL);
		registered = true;
	}
	if (!is_active)
		duration = 0;
	is_active = true;
	subtransaction = GetCurrentSubTransactionId();
}

void
RefreshEnded(int64 time)
{
	duration += time;
}
