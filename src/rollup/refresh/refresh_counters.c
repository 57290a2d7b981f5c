/*
 * refresh_counters.c
 *
 * What becomes of a refresh is known when its transaction ends, where nothing may fail.
 */
#include "postgres.h"

#include "rollup/refresh/refresh_counters.h"

#include "access/xact.h"
#include "utils/timestamp.h"

#include "shared/shared_state.h"

/* The refresh of the transaction at hand. */
static bool active = false;
static SubTransactionId subtransaction; /* that ran it */
static int64 duration;

static void
failed(void)
{
	pg_atomic_fetch_add_u64(&Shared->refreshes_failed, 1);
	active = false;
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	if (!active)
		return;
	if (event == XACT_EVENT_ABORT)
		failed();
	else if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE)
	{
		HistogramAdd(&Shared->refreshes, DurationBounds, duration);
		pg_atomic_write_u64(&Shared->last_refresh, GetCurrentTimestamp());
		active = false;
	}
}

/*
 * Subtransactions have rising numbers: those that ran in the one that is rolled back
 * have a higher one
 */
static void
at_subtransaction_end(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *arg)
{
	if (active && event == SUBXACT_EVENT_ABORT_SUB && subtransaction >= id)
		failed();
}

void
RefreshBegan(void)
{
	static bool registered = false;

	if (Shared == NULL)
		return;
	if (!registered)
	{
		RegisterXactCallback(at_transaction_end, NULL);
		RegisterSubXactCallback(at_subtransaction_end, NULL);
		registered = true;
	}
	if (!active)
		duration = 0;
	active = true;
	subtransaction = GetCurrentSubTransactionId();
}

void
RefreshEnded(int64 time)
{
	duration += time;
}
