/*
 * maintenance_request.h
 *
 * The request of a caller of fi_maintain() to the maintenance worker, and the rows of
 * the answer: one request at a time, in shared memory.
 *
 * The protocol
 * ------------
 * The request has a state. A mutex protects the state and who asked; whoever changes
 * the state wakes all that sleep for it.
 *
 *	FREE		no request
 *	ASKED		the worker has not begun
 *	RUNNING		the worker works, and the rows are its own
 *	DONE		the rows are the caller's
 *	FAILED		the error is the caller's
 *	ABANDONED	the worker works, and its caller has gone
 *
 *	caller:		FREE -> ASKED; DONE, FAILED -> FREE
 *				to give up: ASKED -> FREE, RUNNING -> ABANDONED
 *	worker:		ASKED -> RUNNING -> DONE or FAILED; ABANDONED -> FREE
 *				to end: ASKED, RUNNING -> FAILED
 *
 * Other callers wait for FREE. Both sides leave the request by an exit callback when
 * their process ends.
 */
#ifndef FAST_INGEST_MAINTENANCE_REQUEST_H
#define FAST_INGEST_MAINTENANCE_REQUEST_H

#include "utils/elog.h"

#include "shared/shared_part.h"

typedef enum
{
	MAINTENANCE_FREE,
	MAINTENANCE_ASKED,
	MAINTENANCE_RUNNING,
	MAINTENANCE_DONE,
	MAINTENANCE_FAILED,
	MAINTENANCE_ABANDONED
} MaintenanceState;

/* What the worker did. Each text is "" where it has nothing to say. */
typedef struct
{
	const char *action;
	const char *partition;
	const char *detail;
} MaintenanceRow;

extern const SharedPart MaintenanceRequestPart;

/*
 * The caller's side
 */

/* Ask in the name of a role; false while there is another request. */
extern bool MaintenanceRequestMake(Oid role);

/*
 * Sleep until the request of this process is DONE or FAILED, or if it has none until the
 * state is FREE, for at most so many milliseconds; returns the state. Serves interrupts,
 * which may end in an ERROR.
 */
extern MaintenanceState MaintenanceRequestAwait(long timeout);

/*
 * Read the row at *position, which begins with 0 and is moved to the next row; false
 * behind the last one. The request is DONE, and the texts stay until it is left.
 */
extern bool MaintenanceRequestNextRow(uint32 *position, MaintenanceRow *row);

/* How many rows did not fit into shared memory? The request is DONE. */
extern uint32 MaintenanceRequestOmittedRows(void);

/* The message of a request that FAILED, which stays until it is left, and its SQLSTATE. */
extern const char *MaintenanceRequestError(int *sqlstate);

/* Leave the request of this process, whatever its state; nothing without one. */
extern void MaintenanceRequestLeave(void);

/*
 * The worker's side
 */

/* Is there a request that was not begun? */
extern bool MaintenanceRequestIsAsked(void);

/* Begin it; false if its caller has given up. *role is the role that asks. */
extern bool MaintenanceRequestBegin(Oid *role);

/* Add a row; NULL is "". A row that does not fit is only counted. */
extern void MaintenanceRequestAddRow(const char *action, const char *partition, const char *detail);

/* End it: DONE, or FAILED if there is an error. */
extern void MaintenanceRequestEnd(const ErrorData *error);

/* The worker ends: a request that waits for it has failed. */
extern void MaintenanceRequestFail(void);

#endif
