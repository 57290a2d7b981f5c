/*
 * backlog.c
 *
 * An alarm, not an account: a savepoint rolled back still counts.
 */
#include "postgres.h"

#include "rollup/backlog.h"

#include "access/xact.h"

#include "settings.h"
#include "stage/control.h"
#include "worker.h"

/* What the transaction at hand does at its commit. */
static uint64 added = 0;
static uint64 claimed = 0;

static void
take_off(uint64 events)
{
	uint64 now = pg_atomic_read_u64(&Control->backlog);

	while (!pg_atomic_compare_exchange_u64(&Control->backlog, &now, now - Min(now, events)))
		;
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE)
	{
		if (claimed > 0)
			take_off(claimed);
		if (added > 0)
		{
			uint64 before = pg_atomic_fetch_add_u64(&Control->backlog, added);

			if (before < (uint64) fi_refresh_backlog &&
				before + added >= (uint64) fi_refresh_backlog)
				WorkerWake(&Control->maintenance);
		}
	}
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE || event == XACT_EVENT_ABORT)
		added = claimed = 0;
}

static void
register_callback(void)
{
	static bool registered = false;

	if (!registered)
		RegisterXactCallback(at_transaction_end, NULL);
	registered = true;
}

void
BacklogAdd(int64 events)
{
	if (Control == NULL)
		return;
	register_callback();
	added += events;
}

void
BacklogClaim(void)
{
	if (Control == NULL)
		return;
	register_callback();
	claimed = pg_atomic_read_u64(&Control->backlog);
	/* what this transaction has inserted is merged with the rest */
	added = 0;
}
