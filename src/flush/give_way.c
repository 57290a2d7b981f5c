/*
 * give_way.c
 *
 * A timer around the body of a transaction.
 */
#include "postgres.h"

#include "flush/give_way.h"

#include "commands/trigger.h"
#include "miscadmin.h"
#include "utils/timeout.h"

#define LOOK_INTERVAL 20 /* ms between two looks whether others wait */

typedef struct
{
	TransactionBody body;
	void *arg;
} Limited;

static TimeoutId timer;
static bool (*others_wait)(void);
static volatile sig_atomic_t fired = false;

static void
look_for_others(void)
{
	if (others_wait())
	{
		fired = true;
		QueryCancelPending = true;
		InterruptPending = true;
	}
	else
		enable_timeout_after(timer, LOOK_INTERVAL);
}

void
GiveWayInit(void)
{
	timer = RegisterTimeout(USER_TIMEOUT, look_for_others);
}

static void
stop_timer(void)
{
	disable_timeout(timer, false);
	QueryCancelPending = false;
}

static void
run_limited(void *arg)
{
	Limited *limited = arg;

	limited->body(limited->arg);
	/* what is deferred to the commit may hang as well */
	AfterTriggerFireDeferred();
	/* a wait for a synchronous standby that is cancelled would count as a commit */
	stop_timer();
}

ErrorData *
GiveWayRun(const char *activity, TransactionBody body, void *arg, int patience,
		   bool (*do_others_wait)(void))
{
	Limited limited = {body, arg};
	ErrorData *error;

	others_wait = do_others_wait;
	fired = false;
	enable_timeout_after(timer, patience);
	error = RunTransaction(activity, run_limited, &limited);
	stop_timer();
	fired = fired && error != NULL && error->sqlerrcode == ERRCODE_QUERY_CANCELED;
	if (fired)
		error->message = psprintf("given up after %d ms, as other events waited", patience);
	return error;
}

bool
GiveWayFired(void)
{
	return fired;
}
