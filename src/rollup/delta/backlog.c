/*
 * backlog.c
 *
 * An alarm, not an account: a savepoint rolled back still counts.
 */
#include "postgres.h"

#include "rollup/delta/backlog.h"

#include "access/xact.h"

#include "base/clock.h"
#include "base/settings.h"
#include "shared/shared_state.h"
#include "worker/worker.h"

typedef struct
{
	uint64 events;
	uint64 deltas;
} Backlog;

/* What the transaction at hand does at its commit. */
static Backlog added;
static Backlog claimed;
static int64 claimed_at; /* see clock.h */

static uint64
take_off(pg_atomic_uint64 *counter, uint64 n)
{
	uint64 now = pg_atomic_read_u64(counter);

	while (!pg_atomic_compare_exchange_u64(counter, &now, now - Min(now, n)))
		;
	return now - Min(now, n);
}

/*
 * Does a counter reach its limit by what is added? 0 is no limit.
 */
static bool
add(pg_atomic_uint64 *counter, uint64 n, int limit)
{
	uint64 before = pg_atomic_fetch_add_u64(counter, n);

	return limit > 0 && before < (uint64) limit && before + n >= (uint64) limit;
}

static void
add_to_backlog(void)
{
	bool reached;

	if (pg_atomic_read_u64(&Shared->backlog_deltas) == 0)
		pg_atomic_write_u64(&Shared->backlog_since, (uint64) MonotonicNow());
	reached = add(&Shared->backlog, added.events, fi_refresh_backlog);
	reached |= add(&Shared->backlog_deltas, added.deltas, fi_refresh_backlog_deltas);
	if (reached && fi_refresh_backlog > 0)
		WorkerWake(&Shared->maintenance);
}

static void
take_off_backlog(void)
{
	take_off(&Shared->backlog, claimed.events);
	if (take_off(&Shared->backlog_deltas, claimed.deltas) > 0)
		pg_atomic_write_u64(&Shared->backlog_since, (uint64) claimed_at);
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE)
	{
		if (claimed.deltas > 0)
			take_off_backlog();
		if (added.deltas > 0)
			add_to_backlog();
	}
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE || event == XACT_EVENT_ABORT)
		added = claimed = (Backlog){0};
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
	if (Shared == NULL)
		return;
	register_callback();
	added.events += events;
	added.deltas++;
}

void
BacklogClaim(void)
{
	if (Shared == NULL)
		return;
	register_callback();
	claimed.events = pg_atomic_read_u64(&Shared->backlog);
	claimed.deltas = pg_atomic_read_u64(&Shared->backlog_deltas);
	claimed_at = MonotonicNow();
	/* what this transaction has inserted is merged with the rest */
	added = (Backlog){0};
}

bool
BacklogIsLong(void)
{
	uint64 deltas = pg_atomic_read_u64(&Shared->backlog_deltas);
	int64 since = (int64) pg_atomic_read_u64(&Shared->backlog_since);

	if (fi_refresh_backlog == 0)
		return false;
	return pg_atomic_read_u64(&Shared->backlog) >= (uint64) fi_refresh_backlog ||
		   (fi_refresh_backlog_deltas > 0 && deltas >= (uint64) fi_refresh_backlog_deltas) ||
		   (fi_refresh_backlog_age > 0 && deltas > 0 &&
			MonotonicNow() >= MonotonicAfter(since, (int64) fi_refresh_backlog_age * 1000));
}
