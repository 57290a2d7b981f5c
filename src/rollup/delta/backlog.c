/*
 * backlog.c
 *
 * The numbers are estimates, good enough for an alarm: deltas of a savepoint that is rolled
 * back are counted, too.
 */
#include "postgres.h"

#include "rollup/delta/backlog.h"

#include "access/xact.h"

#include "base/clock.h"
#include "base/settings.h"
#include "shared/shared_state.h"

typedef struct
{
	uint64 events;
	uint64 deltas;
} Backlog;

/* What this transaction adds and removes when it commits. */
static Backlog added;
static Backlog claimed;
static int64 claimed_at; /* see clock.h */

/*
 * Subtract from a counter, but not below 0, and return the result
 */
static uint64
subtract_from_counter(pg_atomic_uint64 *counter, uint64 n)
{
	uint64 now = pg_atomic_read_u64(counter);

	while (!pg_atomic_compare_exchange_u64(counter, &now, now - Min(now, n)))
		;
	return now - Min(now, n);
}

/*
 * Add to a counter, and return whether that made it reach its limit; 0 is no limit
 */
static bool
add_to_counter(pg_atomic_uint64 *counter, uint64 n, int limit)
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
	reached = add_to_counter(&Shared->backlog, added.events, fi_refresh_backlog);
	reached |= add_to_counter(&Shared->backlog_deltas, added.deltas, fi_refresh_backlog_deltas);
	if (reached && fi_refresh_backlog > 0)
		WorkerWake(&Shared->maintenance);
}

static void
remove_from_backlog(void)
{
	subtract_from_counter(&Shared->backlog, claimed.events);
	if (subtract_from_counter(&Shared->backlog_deltas, claimed.deltas) > 0)
		pg_atomic_write_u64(&Shared->backlog_since, (uint64) claimed_at);
}

static void
apply_or_discard_changes(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_PREPARE)
	{
		if (claimed.deltas > 0)
			remove_from_backlog();
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
		RegisterXactCallback(apply_or_discard_changes, NULL);
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
	/* the refresh merges what this transaction itself has inserted, too */
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
