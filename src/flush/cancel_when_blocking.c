/*
 * cancel_when_blocking.c
 *
 * A timer looks now and then whether others wait, and cancels the query then.
 */
#include "postgres.h"

#include "flush/cancel_when_blocking.h"

#include "commands/trigger.h"
#include "miscadmin.h"
#include "utils/timeout.h"

#define LOOK_INTERVAL 20 /* ms between two looks whether others wait */

typedef struct
{
	TransactionBody body;
	void *arg;
} LimitedBody;

static TimeoutId timer;
static OthersWaitCheck others_wait;
static volatile sig_atomic_t cancelled = false;

static void
cancel_if_others_wait(void)
{
	if (others_wait())
	{
		cancelled = true;
		QueryCancelPending = true;
		InterruptPending = true;
	}
	else
		enable_timeout_after(timer, LOOK_INTERVAL);
}

void
CancelWhenBlockingInit(void)
{
	timer = RegisterTimeout(USER_TIMEOUT, cancel_if_others_wait);
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
	LimitedBody *limited = arg;

	limited->body(limited->arg);
	/* deferred triggers may hang as well */
	AfterTriggerFireDeferred();
	/* a cancel would end the wait for a synchronous standby, which counts as a commit */
	stop_timer();
}

ErrorData *
RunUnlessBlocking(const char *activity, TransactionBody body, void *arg, int patience,
				  OthersWaitCheck check)
{
	LimitedBody limited = {body, arg};
	ErrorData *error;

	others_wait = check;
	cancelled = false;
	enable_timeout_after(timer, patience);
	error = RunTransaction(activity, run_limited, &limited);
	stop_timer();
	cancelled = cancelled && error != NULL && error->sqlerrcode == ERRCODE_QUERY_CANCELED;
	if (cancelled)
		error->message = psprintf("given up after %d ms, as other events waited", patience);
	return error;
}

bool
LastRunWasCancelled(void)
{
	return cancelled;
}
