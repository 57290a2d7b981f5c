/*
 * maintenance_request.c
 *
 * The state of the request and its rows: see maintenance_request.h.
 */
#include "postgres.h"

#include "shared/maintenance_request.h"

#include "pgstat.h"
#include "storage/condition_variable.h"
#include "storage/spin.h"

#include "base/clock.h"
#include "db/error_class.h"

/* More than a thousand rows. Each is three texts, which end with a zero byte. */
#define ROWS_SIZE (64 * 1024)
#define MESSAGE_SIZE 1024

typedef struct
{
	slock_t mutex;
	ConditionVariable changed;
	MaintenanceState state;
	Oid role;

	/* the answer */
	int sqlstate;
	char message[MESSAGE_SIZE];
	uint32 omitted;
	uint32 len;
	char rows[ROWS_SIZE];
} MaintenanceRequest;

static MaintenanceRequest *request = NULL;
static bool is_mine = false; /* the request was made by this process */

static Size
compute_request_size(void)
{
	return sizeof(MaintenanceRequest);
}

static void
attach_request(void *memory, LWLock *lock, bool is_new)
{
	request = memory;
	if (!is_new)
		return;
	SpinLockInit(&request->mutex);
	ConditionVariableInit(&request->changed);
	request->state = MAINTENANCE_FREE;
}

const SharedPart MaintenanceRequestPart = {"fast_ingest maintenance", NULL, compute_request_size,
										   attach_request};

static MaintenanceState
read_state(void)
{
	MaintenanceState state;

	SpinLockAcquire(&request->mutex);
	state = request->state;
	SpinLockRelease(&request->mutex);
	return state;
}

/*
 * Change the state, if it is still the one that the caller thinks
 */
static bool
change_state(MaintenanceState from, MaintenanceState to)
{
	bool changed;

	SpinLockAcquire(&request->mutex);
	changed = request->state == from;
	if (changed)
		request->state = to;
	SpinLockRelease(&request->mutex);
	if (changed)
		ConditionVariableBroadcast(&request->changed);
	return changed;
}

bool
MaintenanceRequestMake(Oid role)
{
	SpinLockAcquire(&request->mutex);
	is_mine = request->state == MAINTENANCE_FREE;
	if (is_mine)
	{
		request->state = MAINTENANCE_ASKED;
		request->role = role;
	}
	SpinLockRelease(&request->mutex);
	return is_mine;
}

/*
 * Has this process nothing to wait for in that state?
 */
static bool
is_awaited(MaintenanceState state)
{
	return is_mine ? state == MAINTENANCE_DONE || state == MAINTENANCE_FAILED
				   : state == MAINTENANCE_FREE;
}

MaintenanceState
MaintenanceRequestAwait(long timeout)
{
	int64 until = MonotonicAfter(MonotonicNow(), timeout);
	MaintenanceState state;
	long left;

	ConditionVariablePrepareToSleep(&request->changed);
	while (!is_awaited(state = read_state()) && (left = MonotonicLeft(MonotonicNow(), until)) > 0)
		(void) ConditionVariableTimedSleep(&request->changed, left, PG_WAIT_EXTENSION);
	ConditionVariableCancelSleep();
	return state;
}

bool
MaintenanceRequestNextRow(uint32 *position, MaintenanceRow *row)
{
	const char **texts[] = {&row->action, &row->partition, &row->detail};

	if (*position >= request->len)
		return false;
	for (int i = 0; i < (int) lengthof(texts); i++)
	{
		*texts[i] = request->rows + *position;
		*position += strlen(*texts[i]) + 1;
	}
	return true;
}

uint32
MaintenanceRequestOmittedRows(void)
{
	return request->omitted;
}

const char *
MaintenanceRequestError(int *sqlstate)
{
	*sqlstate = request->sqlstate;
	return request->message;
}

void
MaintenanceRequestLeave(void)
{
	if (!is_mine)
		return;
	is_mine = false;
	/* only the worker changes any of these states meanwhile, each to a later one of the list */
	if (!change_state(MAINTENANCE_ASKED, MAINTENANCE_FREE) &&
		!change_state(MAINTENANCE_RUNNING, MAINTENANCE_ABANDONED) &&
		!change_state(MAINTENANCE_DONE, MAINTENANCE_FREE))
		(void) change_state(MAINTENANCE_FAILED, MAINTENANCE_FREE);
}

bool
MaintenanceRequestIsAsked(void)
{
	return read_state() == MAINTENANCE_ASKED;
}

bool
MaintenanceRequestBegin(Oid *role)
{
	if (!change_state(MAINTENANCE_ASKED, MAINTENANCE_RUNNING))
		return false;
	*role = request->role;
	request->len = 0;
	request->omitted = 0;
	return true;
}

void
MaintenanceRequestAddRow(const char *action, const char *partition, const char *detail)
{
	const char *texts[] = {action, partition ? partition : "", detail ? detail : ""};
	Size size = 0;

	for (int i = 0; i < (int) lengthof(texts); i++)
		size += strlen(texts[i]) + 1;
	if (size > ROWS_SIZE - request->len)
	{
		request->omitted++;
		return;
	}
	for (int i = 0; i < (int) lengthof(texts); i++)
	{
		strcpy(request->rows + request->len, texts[i]);
		request->len += strlen(texts[i]) + 1;
	}
}

void
MaintenanceRequestEnd(const ErrorData *error)
{
	if (error != NULL)
	{
		request->sqlstate = error->sqlerrcode;
		ErrorCopyText(request->message, error->message ? error->message : "unknown error",
					  MESSAGE_SIZE);
	}
	if (!change_state(MAINTENANCE_RUNNING, error != NULL ? MAINTENANCE_FAILED : MAINTENANCE_DONE))
		(void) change_state(MAINTENANCE_ABANDONED, MAINTENANCE_FREE);
}

void
MaintenanceRequestFail(void)
{
	ErrorData error = {.sqlerrcode = ERRCODE_OPERATOR_INTERVENTION,
					   .message = "the maintenance worker ended"};
	MaintenanceState state;
	Oid role;

	(void) MaintenanceRequestBegin(&role);
	state = read_state();
	if (state == MAINTENANCE_RUNNING || state == MAINTENANCE_ABANDONED)
		MaintenanceRequestEnd(&error);
}
